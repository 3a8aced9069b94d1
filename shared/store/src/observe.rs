//! What callers may count: the store itself knows no metrics library.

use std::time::Duration;

/// How one statement ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Answered.
    Ok,
    /// Refused by the database for what was asked: a fence, a unique key, bad data.
    Refused,
    /// Not done, and known not to be: no connection, a lock not got in time, a full disk.
    Unavailable,
    /// Not answered: done or not is unknown.
    Unknown,
}

impl Outcome {
    /// Every outcome, so that labels exist at 0 from the start.
    pub const ALL: &'static [Self] = &[Self::Ok, Self::Refused, Self::Unavailable, Self::Unknown];

    /// As the label of a metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
        }
    }
}

/// Told of every statement. Must be cheap and must not block.
pub trait QueryObserver: Send + Sync + 'static {
    /// `statement` is one of [`Store::STATEMENTS`](crate::Store::STATEMENTS); `took` includes the
    /// wait for a connection.
    fn observed(&self, statement: &'static str, took: Duration, outcome: Outcome);
}

/// A closure is enough.
impl<F: Fn(&'static str, Duration, Outcome) + Send + Sync + 'static> QueryObserver for F {
    fn observed(&self, statement: &'static str, took: Duration, outcome: Outcome) {
        self(statement, took, outcome);
    }
}

/// Observes nothing.
pub(crate) struct Unobserved;

impl QueryObserver for Unobserved {
    fn observed(&self, _: &'static str, _: Duration, _: Outcome) {}
}
