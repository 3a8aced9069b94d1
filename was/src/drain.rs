//! A stop, in order: not ready → `bye` to one session after the other → last records out → what was not
//! confirmed handed on → offset committed, home released.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use service::kafka::Producer;
use service::readiness::Condition;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::gateway::Gateway;
use crate::reading::{COMMIT_WITHIN, HAND_ON_WITHIN};
use crate::registry::come_back;

/// Clients come back after at most this: their moments are spread already, and who is sent away is
/// to miss nothing for longer than a reconnect takes.
const RETURN_WITHIN: Duration = Duration::from_millis(200);
/// How long the last records may take.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);
/// What a stop leaves for the last records, for what the sessions had not confirmed
/// ([`HAND_ON_WITHIN`]), for the last commit ([`COMMIT_WITHIN`]) and, as long, for releasing the home; at
/// most half of it.
const RESERVE: Duration = Duration::from_secs(4);
const _: () = assert!(
    FLUSH_WITHIN.as_millis() + HAND_ON_WITHIN.as_millis() + 2 * COMMIT_WITHIN.as_millis()
        <= RESERVE.as_millis(),
    "the parts of a stop fit into it"
);

/// What is left to do when the gateway is asked to stop.
pub struct Stop {
    /// Whose sessions go.
    pub gateway: Arc<Gateway>,
    /// Sends the last records.
    pub producer: Producer,
    /// Missed from the first moment of the stop on.
    pub running: Condition,
    /// Ends what must outlive the sockets: the home, its reader, catch-up.
    pub last: CancellationToken,
    /// How long the whole stop may take.
    pub within: Duration,
    /// The time over which sessions are sent away.
    pub spread: Duration,
}

impl Stop {
    /// Waits for `drain`, then stops.
    pub async fn run(self, drain: CancellationToken) {
        self.running.meet();
        drain.cancelled().await;
        self.running.miss("stopping");
        let gateway = &self.gateway;
        // Before anybody is told: who enters from here on is told on entering.
        gateway.stopping.store(true, Ordering::Relaxed);
        gateway.tasks.close();
        let gone = async {
            tokio::select! {
                // Sockets, and the removal of their routes.
                () = gateway.tasks.wait() => {}
                never = self.say_bye() => match never {},
            }
        };
        let reserve = RESERVE.min(self.within / 2);
        if tokio::time::timeout(self.within - reserve, gone)
            .await
            .is_err()
        {
            tracing::warn!(
                left = gateway.tasks.len(),
                "sockets left to the end of the process"
            );
        }
        if !self.producer.flush(FLUSH_WITHIN.min(reserve / 4)).await {
            tracing::warn!("records left unsent");
        }
        self.last.cancel();
    }

    /// Sends each session away at a moment of its own; until then it is served as ever.
    async fn say_bye(&self) -> std::convert::Infallible {
        let gateway = &self.gateway;
        let mailboxes = gateway.registry.mailboxes();
        let begun = Instant::now();
        let parts = parts(mailboxes.len(), self.spread);
        for ((from, to), mailbox) in parts.zip(mailboxes) {
            tokio::time::sleep_until(begun + rand::random_range(from..=to)).await;
            mailbox.push(come_back(RETURN_WITHIN), gateway.bound);
        }
        std::future::pending().await
    }
}

/// `spread` in equal parts, one for each session: as even as possible, and still nobody's moment is
/// known beforehand.
fn parts(sessions: usize, spread: Duration) -> impl Iterator<Item = (Duration, Duration)> {
    let count = u32::try_from(sessions).unwrap_or(u32::MAX);
    let part = spread / count.max(1);
    (0..count).map(move |n| (part * n, part * (n + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_session_has_a_part_of_the_spread() {
        let spread = Duration::from_secs(2);
        for sessions in [1, 2, 7, 5_000] {
            let parts: Vec<_> = parts(sessions, spread).collect();
            assert_eq!(parts.len(), sessions);
            assert_eq!(parts[0].0, Duration::ZERO);
            assert!(parts.windows(2).all(|two| two[0].1 == two[1].0));
            let end = parts[sessions - 1].1;
            assert!(end <= spread && spread - end < Duration::from_millis(1));
        }
        assert_eq!(parts(0, spread).count(), 0);
    }
}
