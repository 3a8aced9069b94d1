//! Tries one thing until it is taken, can't be, or has been tried for too long.

use std::time::Duration;

use protocol::UserId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::metrics::PushMetrics;
use super::patience::Patience;
use super::queues::Crowded;
use super::slot::Slot;
use super::verdict::{To, Verdict};
use crate::pipeline::backoff::Stopped;

/// How long things are tried, and for whom.
pub(super) struct Tries<'a> {
    /// For the log.
    pub(super) user: UserId,
    /// From the first try to the end of the last one.
    pub(super) give_up: Duration,
    /// Set when too many wait behind them: then a try that failed was the last.
    pub(super) crowded: Crowded,
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

/// The tries of one thing.
pub(super) struct Trying<'a> {
    tries: &'a Tries<'a>,
    slot: &'a mut Slot,
    to: &'static str,
    patience: Patience,
    began: Instant,
}

impl Tries<'_> {
    /// One thing is about to be tried.
    pub(super) fn begin<'a>(&'a self, to: To, slot: &'a mut Slot) -> Trying<'a> {
        Trying {
            tries: self,
            slot,
            to: to.label(),
            patience: Patience::new(self.give_up),
            began: Instant::now(),
        }
    }
}

impl Trying<'_> {
    /// One try, never broken off: it may have been heard. None: it is to be tried again, now, as the
    /// pause is over; what is sent then may be something else.
    pub(super) async fn attempt(
        &mut self,
        attempt: impl Future<Output = Verdict>,
    ) -> Result<Option<End>, Stopped> {
        let &Tries {
            user,
            over,
            metrics,
            chance,
            ref crowded,
            ..
        } = self.tries;
        let (to, asked_at) = (self.to, Instant::now());
        let verdict = attempt.await;
        metrics.requested(to, &verdict, asked_at.elapsed());
        let (why, asked) = match verdict {
            Verdict::Taken => return Ok(Some(End::Taken)),
            Verdict::Gone => return Ok(Some(End::Gone)),
            Verdict::Refused { why } => {
                tracing::error!(%user, to, why, "a push is refused");
                return Ok(Some(End::Refused));
            }
            Verdict::Again { why, asked } => (why, asked),
        };
        let pause = self.patience.next(self.began.elapsed(), asked, chance());
        let Some(pause) = pause.filter(|_| !crowded.is_so()) else {
            tracing::error!(%user, to, why, "pushes are given up");
            return Ok(Some(End::Tired));
        };
        tracing::warn!(%user, to, why, ?pause, "a push is tried again");
        tokio::select! {
            biased;
            () = over.cancelled() => Err(Stopped),
            // Somebody else is told meanwhile.
            () = self.slot.pause(pause) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use service::metrics::Metrics;
    use tokio::sync::Semaphore;

    use super::*;

    /// I9: what fails is tried again, but not once too many wait behind it; what is taken is taken.
    #[tokio::test]
    async fn i9_what_keeps_too_many_waiting_is_given_up() {
        let metrics = PushMetrics::new(&Metrics::new());
        let over = CancellationToken::new();
        let tries = Tries {
            user: UserId::new(1).unwrap(),
            give_up: Duration::from_secs(600),
            crowded: Crowded::default(),
            chance: || 0.5,
            over: &over,
            metrics: &metrics,
        };
        let mut slot = Slot::of(&Arc::new(Semaphore::new(1))).await;
        let mut trying = tries.begin(To::Webhook, &mut slot);
        let fails = async || Verdict::again("status 503");
        assert!(matches!(trying.attempt(fails()).await, Ok(None)));
        tries.crowded.0.store(true, Ordering::Relaxed);
        let taken = trying.attempt(async { Verdict::Taken }).await;
        assert!(matches!(taken, Ok(Some(End::Taken))));
        assert!(matches!(
            trying.attempt(fails()).await,
            Ok(Some(End::Tired))
        ));
    }
}
