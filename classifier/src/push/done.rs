//! How far a partition is done: where its next reader begins. Records are done in any order, and
//! nothing is committed beyond the first one that is not.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The furthest that reading runs ahead of the first record that is not done. More than that would
/// be done a second time by the next process, if this one dies.
pub(super) const AHEAD: i64 = 10_000;

/// What is known of one partition. Pure.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Done {
    /// Behind the last one that was taken.
    taken: i64,
    /// Offsets, each with its record's time.
    open: BTreeMap<i64, i64>,
}

impl Done {
    fn next(&self) -> i64 {
        let first = self.open.first_key_value();
        first.map_or(self.taken, |(offset, _)| *offset)
    }

    fn take(&mut self, offset: i64, at: i64) {
        self.open.insert(offset, at);
        self.taken = offset + 1;
    }
}

/// One partition of `chat-push`, shared by who reads it, who delivers, and who commits.
#[derive(Debug)]
pub(super) struct Partition {
    /// Which.
    pub(super) number: i32,
    /// Cancelled when it is not this process's any more, or not for long: nothing is begun.
    pub(super) over: CancellationToken,
    /// Deliveries that have begun.
    pub(super) under_way: TaskTracker,
    done: Mutex<Done>,
    moved: Notify,
}

impl Partition {
    /// A partition that is read from `start` on.
    pub(super) fn new(number: i32, start: i64) -> Self {
        Self {
            number,
            over: CancellationToken::new(),
            under_way: TaskTracker::new(),
            done: Mutex::new(Done {
                taken: start,
                open: BTreeMap::new(),
            }),
            moved: Notify::new(),
        }
    }

    /// A record is taken, which was made at that time (ms since 1970). Offsets only rise.
    pub(super) fn take(&self, offset: i64, at: i64) {
        self.with(|done| done.take(offset, at));
    }

    /// When the oldest record that is taken and not done was made; none when all are.
    pub(super) fn oldest(&self) -> Option<i64> {
        self.with(|done| done.open.values().min().copied())
    }

    /// A record is done, whatever became of it.
    pub(super) fn end(&self, offset: i64) {
        self.with(|done| done.open.remove(&offset));
        self.moved.notify_one();
    }

    /// Where the next reader begins.
    pub(super) fn next(&self) -> i64 {
        self.with(|done| done.next())
    }

    /// Returns once reading is not too far ahead of what is done. For one reader.
    pub(super) async fn in_reach(&self) {
        while !self.is_in_reach() {
            self.moved.notified().await;
        }
    }

    /// Whether reading is not too far ahead.
    pub(super) fn is_in_reach(&self) -> bool {
        self.with(|done| done.taken - done.next() < AHEAD)
    }

    /// A panic of another thread leaves it whole: each change is one insert or removal.
    fn with<T>(&self, change: impl FnOnce(&mut Done) -> T) -> T {
        change(&mut self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_committed_beyond_what_is_open() {
        let partition = Partition::new(0, 5);
        assert_eq!(partition.next(), 5);
        // 6 was deleted, or never was.
        for offset in [5, 7, 8] {
            partition.take(offset, 0);
        }
        partition.end(7);
        assert_eq!(partition.next(), 5);
        partition.end(5);
        assert_eq!(partition.next(), 8);
        partition.end(8);
        assert_eq!(partition.next(), 9);
    }

    /// I9: one user whose pushes fail does not let reading run away from it.
    #[test]
    fn i9_reading_stays_in_reach_of_what_is_open() {
        let partition = Partition::new(0, 0);
        for offset in 0..AHEAD {
            assert!(partition.in_reach().now_or_never().is_some(), "{offset}");
            partition.take(offset, 0);
        }
        partition.end(1);
        assert!(partition.in_reach().now_or_never().is_none());
        partition.end(0);
        assert!(partition.in_reach().now_or_never().is_some());
    }

    proptest! {
        /// Whatever order they are done in: what would be committed has nothing open below it.
        #[test]
        fn the_next_one_is_the_lowest_open_one(order in Just((0..20_i64).collect::<Vec<_>>()).prop_shuffle()) {
            let partition = Partition::new(0, 0);
            (0..20).for_each(|offset| partition.take(offset, 0));
            let mut open: BTreeSet<i64> = (0..20).collect();
            for offset in order {
                partition.end(offset);
                open.remove(&offset);
                prop_assert_eq!(partition.next(), open.first().copied().unwrap_or(20));
            }
        }
    }
}
