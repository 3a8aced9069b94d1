//! Tries one thing until it is taken, can't be, or has been tried for too long.

use std::time::Duration;

use protocol::UserId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::metrics::PushMetrics;
use super::patience::Patience;
use super::verdict::{To, Verdict};
use crate::pipeline::backoff::Stopped;

/// How long things are tried, and for whom.
pub(super) struct Tries<'a> {
    /// For the log.
    pub(super) user: UserId,
    /// From the first try to the end of the last one.
    pub(super) give_up: Duration,
    /// A number from 0 to 1, a new one each time.
    pub(super) chance: fn() -> f64,
    /// Cancelled when it is not this process's to try any more.
    pub(super) over: &'a CancellationToken,
    pub(super) metrics: &'a PushMetrics,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It was taken.
    Taken,
    /// Whom it was for is there no more.
    Gone,
    /// It will never be taken.
    Refused,
    /// It was tried for too long; so would be what comes next.
    Tired,
}

impl Tries<'_> {
    /// Tries again and again. A try that is under way is never broken off: it may have been heard.
    pub(super) async fn insist<F>(&self, to: To, attempt: impl Fn() -> F) -> Result<End, Stopped>
    where
        F: Future<Output = Verdict>,
    {
        let mut patience = Patience::new(self.give_up);
        let (user, to, began) = (self.user, to.label(), Instant::now());
        loop {
            let asked_at = Instant::now();
            let verdict = attempt().await;
            self.metrics.requested(to, &verdict, asked_at.elapsed());
            let (why, asked) = match verdict {
                Verdict::Taken => return Ok(End::Taken),
                Verdict::Gone => return Ok(End::Gone),
                Verdict::Refused { why } => {
                    tracing::error!(%user, to, why, "a push is refused");
                    return Ok(End::Refused);
                }
                Verdict::Again { why, asked } => (why, asked),
            };
            let Some(pause) = patience.next(began.elapsed(), asked, (self.chance)()) else {
                tracing::error!(%user, to, why, "pushes are given up");
                return Ok(End::Tired);
            };
            tracing::warn!(%user, to, why, ?pause, "a push is tried again");
            tokio::select! {
                biased;
                () = self.over.cancelled() => return Err(Stopped),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}
