//! Waiting for the end, and what is said at it.

use std::time::Duration;

use protocol::{Seq, UserId};
use tokio::time::{Instant, sleep};

use super::{Room, Scenario, gauge::lock, setup::recipient};
use crate::{away::Away, oracle::Verdict};

/// How often it is looked whether everything has arrived.
const LOOK: Duration = Duration::from_millis(20);
/// After everything arrived, doubles may still be on their way: how long they are waited for.
const LINGER: Duration = Duration::from_millis(500);

impl Scenario {
    /// Waits until every issued message is answered and every accepted one arrived everywhere, or `within` has passed
    /// without; then lingers for doubles, and judges.
    pub async fn settle(&self, within: Duration) -> Verdict {
        let deadline = Instant::now() + within;
        while self.waiting() > 0 && Instant::now() < deadline {
            sleep(LOOK).await;
        }
        sleep(LINGER).await;
        self.verdict()
    }

    /// The verdict as it is now.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let rooms = self.rooms.iter();
        let strays = Verdict {
            foreign: self.gauge.strays(),
            ..Verdict::default()
        };
        rooms
            .map(|room| lock(&room.ledger).verdict())
            .fold(strays, |sum, one| sum + one)
    }

    /// How long each client was away, so far.
    #[must_use]
    pub fn away(&self) -> Away {
        Away::of(self.gauge.absences())
    }

    /// A verdict with everything that helps to understand it: for the message of a failed test.
    #[must_use]
    pub fn explain(&self, verdict: &Verdict) -> String {
        let gauge = &self.gauge;
        let mut words = format!(
            "{verdict}\nsend→accepted: {}\nsend→received: {}\n{}; connections lost: {}, gaps told: {}, delayed: {}, \
             outbox full: {}, longest pause: {:?}",
            gauge.accepted_after.percentiles(),
            gauge.received_after.percentiles(),
            self.away(),
            gauge.losses(),
            gauge.gaps(),
            gauge.delayed(),
            gauge.refused(),
            gauge.longest_pause(),
        );
        for remark in gauge.remarks() {
            words.push_str("\n  ");
            words.push_str(&remark);
        }
        words
    }

    /// Of whom somebody has to be told that is not there: a user and an accepted message of the room. Who never connects,
    /// of each; who has left, of what did not reach it.
    pub(crate) fn to_push(&self, room: &Room) -> Vec<(UserId, Seq)> {
        let ledger = lock(&room.ledger);
        let user = |index: &usize| self.sessions[*index].user;
        let mut pairs = Vec::new();
        for index in &room.absent {
            pairs.extend(ledger.accepted_seqs().map(|seq| (user(index), seq)));
        }
        for index in &room.leaving {
            let missed = ledger.missed_by(recipient(*index));
            pairs.extend(missed.map(|seq| (user(index), seq)));
        }
        pairs
    }

    /// Answers and arrivals that are still missing.
    pub(crate) fn waiting(&self) -> u64 {
        let waiting = |ledger: &crate::oracle::Ledger| ledger.outstanding() + ledger.unanswered();
        self.rooms
            .iter()
            .map(|room| waiting(&lock(&room.ledger)))
            .sum()
    }
}
