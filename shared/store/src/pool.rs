//! The pool.

use std::sync::Arc;

use crate::{QueryObserver, StoreError, StoreSettings};

/// The way to Postgres: cheap to clone, one pool behind all clones.
#[derive(Clone)]
pub struct Store {
    inner: Arc<()>,
}

/// How busy the pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// Open connections.
    pub open: usize,
    /// Of these, idle ones.
    pub idle: usize,
    /// Callers that wait for one.
    pub waiting: usize,
    /// The most that may be open.
    pub max: usize,
}

impl Store {
    /// The names of all statements, as [`QueryObserver`]s are told them.
    pub const STATEMENTS: &'static [&'static str] = &[];

    /// Makes the pool and checks that the server answers.
    pub async fn connect(settings: &StoreSettings) -> Result<Self, StoreError> {
        let _ = settings;
        todo!()
    }

    /// [`connect`](Self::connect), with somebody who is told of every statement.
    pub async fn connect_observed(
        settings: &StoreSettings,
        observer: Arc<dyn QueryObserver>,
    ) -> Result<Self, StoreError> {
        let _ = (settings, observer);
        todo!()
    }

    /// Whether the server answers, for readiness.
    pub async fn ping(&self) -> Result<(), StoreError> {
        todo!()
    }

    /// How busy the pool is, for metrics.
    pub fn pool_state(&self) -> PoolState {
        todo!()
    }
}
