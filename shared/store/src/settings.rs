//! What a caller decides about the connections.

use std::fmt;
use std::time::Duration;

use crate::StoreError;

/// How to reach Postgres and how long to wait for it.
#[derive(Clone)]
pub struct StoreSettings {
    /// `postgres://user:password@host:port/database`, or key=value pairs as libpq takes them.
    pub url: String,
    /// The most connections that this process opens.
    pub pool_size: usize,
    /// The longest that one statement may run. The caller gives up 1 s later, counted from the call,
    /// the wait for a connection included; and after half of that if nothing could be sent.
    pub statement_timeout: Duration,
    /// The longest that a statement may wait for a lock.
    pub lock_timeout: Duration,
}

impl StoreSettings {
    /// Settings for `url` with the defaults: 16 connections, 5 s a statement, 2 s a lock.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            pool_size: 16,
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(2),
        }
    }

    /// Whether the address can be one, without asking Postgres.
    ///
    /// # Errors
    /// [`StoreError::Settings`], which names what is wrong and not the address.
    pub fn check(&self) -> Result<(), StoreError> {
        crate::pool::config_of(&self.url).map(drop)
    }
}

/// Without the address: it may hold a password.
impl fmt::Debug for StoreSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSettings")
            .field("url", &"(redacted)")
            .field("pool_size", &self.pool_size)
            .field("statement_timeout", &self.statement_timeout)
            .field("lock_timeout", &self.lock_timeout)
            .finish()
    }
}
