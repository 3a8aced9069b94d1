//! What sessions tell the reader of their home: that a client has received all up to a round, and that
//! they have ended. And what it tells them: which round is under way.
//!
//! A session says one thing about itself at a time, so this is bounded by the number of sessions. While
//! no reader listens there is nothing in custody here, and nothing is kept.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::custody::{Holder, Round};

/// Rounds of one reader; the next one's are above them.
const ROUNDS: u32 = 32;

/// From a session's end until the reader hears of it, with those that end meanwhile.
const GATHER: Duration = Duration::from_millis(50);

/// What was said since the reader listened last.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Up to which round sessions have confirmed, and how many records they have dropped as seen.
    pub(super) confirmed: HashMap<Holder, (Round, u64)>,
    pub(super) ended: Vec<Holder>,
    /// Ended, and their clients have received all.
    pub(super) parted: Vec<Holder>,
}

#[derive(Debug, Default)]
struct Listening {
    /// How many readers there were; the last one listens, if any does.
    readers: u64,
    said: Option<Said>,
}

/// Between sessions and the reader.
#[derive(Debug, Default)]
pub(super) struct Confirmations {
    listening: Mutex<Listening>,
    ended: Notify,
    present: AtomicU64,
}

impl Confirmations {
    fn lock(&self) -> MutexGuard<'_, Listening> {
        self.listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A new reader listens. Its rounds begin at the one returned, above those of every other.
    pub(super) fn listen(&self) -> Round {
        let mut listening = self.lock();
        listening.readers += 1;
        listening.said = Some(Said::default());
        let first = Round(listening.readers << ROUNDS);
        self.present.store(first.0, Ordering::Release);
        first
    }

    /// The reader whose first round it was listens no more.
    pub(super) fn leave(&self, first: Round) {
        let mut listening = self.lock();
        if listening.readers == first.0 >> ROUNDS {
            listening.said = None;
        }
    }

    /// What was said to the reader whose first round it is.
    pub(super) fn take(&self, first: Round) -> Said {
        let mut listening = self.lock();
        let listens = listening.readers == first.0 >> ROUNDS;
        match &mut listening.said {
            Some(said) if listens => std::mem::take(said),
            _ => Said::default(),
        }
    }

    /// A client has received all up to a round; `seen` records were dropped meanwhile.
    pub(super) fn confirmed(&self, holder: Holder, upto: Round, seen: u64) {
        if let Some(said) = &mut self.lock().said {
            let entry = said.confirmed.entry(holder).or_insert((upto, 0));
            entry.0 = entry.0.max(upto);
            entry.1 += seen;
        }
    }

    /// A session has ended: it is in the registry no more.
    pub(super) fn ended(&self, holder: Holder) {
        if let Some(said) = &mut self.lock().said {
            said.ended.push(holder);
            self.ended.notify_one();
        }
    }

    /// A session has ended, and its client has received all that was queued for it.
    pub(super) fn parted(&self, holder: Holder) {
        if let Some(said) = &mut self.lock().said {
            said.parted.push(holder);
        }
    }

    /// Waits until sessions have ended: when many end, they do so one shortly after the other, and
    /// each time the ledger is gone through.
    pub(super) async fn some_ended(&self) {
        self.ended.notified().await;
        tokio::time::sleep(GATHER).await;
    }

    /// All that is queued from here on belongs to this round.
    pub(super) fn turn(&self, present: Round) {
        self.present.store(present.0, Ordering::Release);
    }

    /// The round under way: all that was queued in rounds before it is in the mailboxes.
    pub(super) fn present(&self) -> Round {
        Round(self.present.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use protocol::{Address, UserId};

    use super::*;

    /// The reader is not woken for each of many that end together.
    #[tokio::test]
    async fn who_end_together_are_heard_of_together() {
        let confirmations = Confirmations::default();
        let first = confirmations.listen();
        let holder = |n| (UserId::new(1).unwrap(), Address::from_u128(n));
        confirmations.ended(holder(1));
        tokio::join!(confirmations.some_ended(), async {
            tokio::time::sleep(GATHER / 5).await;
            confirmations.ended(holder(2));
        });
        assert_eq!(confirmations.take(first).ended, [holder(1), holder(2)]);
    }

    /// What a session of before says is not taken by the reader that comes after, nor the other way.
    #[test]
    fn only_the_last_reader_listens() {
        let confirmations = Confirmations::default();
        let holder = (UserId::new(1).unwrap(), Address::from_u128(1));
        confirmations.ended(holder);
        let first = confirmations.listen();
        assert_eq!(confirmations.take(first).ended, [], "nobody listened");
        confirmations.confirmed(holder, first, 2);
        confirmations.confirmed(holder, first.next(), 1);
        let said = confirmations.take(first);
        assert_eq!(said.confirmed[&holder], (first.next(), 3));
        let second = confirmations.listen();
        assert!(second > first.next());
        assert_eq!(confirmations.present(), second);
        confirmations.ended(holder);
        assert_eq!(confirmations.take(first).ended, []);
        confirmations.leave(first);
        assert_eq!(confirmations.take(second).ended, [holder]);
    }
}
