//! Waiting longer after each failure, and not at all once the process stops.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);

/// The process stops: what is unfinished is found again by the lane's next owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

/// 10 ms, doubled up to 1 s.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// Waits; or tells that there is no point in it.
    pub async fn wait(&mut self, stop: &CancellationToken) -> Result<(), Stopped> {
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(Stopped),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }
}
