//! What was sent and not yet answered for good.
//!
//! `accepted` does not empty it (trap 11): accepted means that the servers will decide the command, and only the own
//! `message` or `event`, `stored` or `rejected` says that they did. Until then the command is sent again with the same
//! id after each reconnect, so that whatever fails in between, it is stored once.

use std::{collections::VecDeque, time::Duration};

use protocol::{MessageId, RoomId, Seq};
use tokio::time::Instant;

use crate::pace::Pace;

/// A command that changes a room, as the client keeps it until it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The room it is for.
    pub room: RoomId,
    /// The id that stays the same over all resends.
    pub id: MessageId,
    /// What it asks for.
    pub ask: Ask,
}

/// What a pending command asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// A new message.
    Send {
        /// Its text.
        body: String,
    },
    /// Another text for an older message.
    Edit {
        /// The message.
        seq: Seq,
        /// Its new text.
        body: String,
    },
    /// An older message's removal.
    Delete {
        /// The message.
        seq: Seq,
    },
}

/// A command that is to be written now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The command.
    pub pending: Pending,
    /// Whether it was written before, on whatever connection.
    pub retry: bool,
}

#[derive(Debug)]
struct Entry {
    pending: Pending,
    attempts: u32,
    /// When it is to be written (again); none = as soon as possible.
    due: Option<Instant>,
}

/// Pure: `now` is an argument, nothing is written here.
#[derive(Debug)]
pub struct Outbox {
    entries: VecDeque<Entry>,
    limit: usize,
    resend_after: Duration,
    pace: Pace,
    /// Entries never written or due at once: spares a walk over the others for each command.
    urgent: usize,
}

impl Outbox {
    /// At most `limit` commands; one that stays unanswered for `resend_after` is written again.
    #[must_use]
    pub fn new(limit: usize, resend_after: Duration) -> Self {
        Self {
            entries: VecDeque::new(),
            limit,
            resend_after,
            pace: Pace::default(),
            urgent: 0,
        }
    }

    /// Keeps a command; gives it back when full.
    ///
    /// # Errors
    /// The command itself, when the outbox holds its limit.
    pub fn push(&mut self, pending: Pending) -> Result<(), Pending> {
        if self.entries.len() >= self.limit {
            return Err(pending);
        }
        self.entries.push_back(Entry {
            pending,
            attempts: 0,
            due: None,
        });
        self.urgent += 1;
        Ok(())
    }

    /// The answer came: true when the command was waiting for it.
    pub fn settle(&mut self, id: MessageId) -> bool {
        let Some(at) = self.entries.iter().position(|entry| entry.pending.id == id) else {
            return false;
        };
        if let Some(entry) = self.entries.remove(at)
            && entry.due.is_none()
        {
            self.urgent -= 1;
        }
        true
    }

    /// "Unknown": the command is written again after `wait`. True when it was waiting.
    pub fn postpone(&mut self, id: MessageId, now: Instant, wait: Duration) -> bool {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.pending.id == id) else {
            return false;
        };
        if entry.due.is_none() {
            self.urgent -= 1;
        }
        entry.due = Some(now + wait);
        true
    }

    /// "Too fast": the command keeps its place, and neither it nor those behind it are written before `wait` is over.
    /// True when it was waiting.
    pub fn hold(&mut self, id: MessageId, now: Instant, wait: Duration) -> bool {
        self.pace.hold(now + wait);
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.pending.id == id) else {
            return false;
        };
        if entry.due.take().is_some() {
            self.urgent += 1;
        }
        true
    }

    /// A new connection: everything is to be written again, in the order it was given, as fast as this server allows.
    pub fn reconnected(&mut self, now: Instant, per_second: u32, burst: u32) {
        for entry in &mut self.entries {
            entry.due = None;
        }
        self.urgent = self.entries.len();
        self.pace.begin(now, per_second, burst);
    }

    /// Takes what is to be written at `now`; each is due again after the resend time. What the pace holds back stays due.
    pub fn due(&mut self, now: Instant) -> Vec<Due> {
        let mut due = Vec::new();
        self.urgent = 0;
        for entry in &mut self.entries {
            if entry.due.is_some_and(|at| at > now) {
                continue;
            }
            if !self.pace.take(now) {
                self.urgent += usize::from(entry.due.is_none());
                continue;
            }
            due.push(Due {
                pending: entry.pending.clone(),
                retry: entry.attempts > 0,
            });
            entry.attempts = entry.attempts.saturating_add(1);
            entry.due = Some(now + self.resend_after);
        }
        due
    }

    /// When [`Outbox::due`] is to be asked again; none when nothing is waiting.
    #[must_use]
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        let first = if self.urgent > 0 {
            Some(now)
        } else {
            self.entries.iter().filter_map(|entry| entry.due).min()
        };
        first.map(|at| self.pace.next().map_or(at, |next| next.max(at)))
    }

    /// How many commands wait for their answer.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether every command is answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESEND: Duration = Duration::from_secs(10);

    fn pending(number: u128) -> Pending {
        Pending {
            room: RoomId::new(1).unwrap(),
            id: MessageId::from_u128(number),
            ask: Ask::Send {
                body: "hello".to_owned(),
            },
        }
    }

    fn ids(due: &[Due]) -> Vec<(u128, bool)> {
        due.iter()
            .map(|one| (one.pending.id.as_u128(), one.retry))
            .collect()
    }

    #[test]
    fn i2_resends_keep_the_id_and_say_retry() {
        let now = Instant::now();
        let mut outbox = Outbox::new(10, RESEND);
        outbox.push(pending(1)).unwrap();
        outbox.push(pending(2)).unwrap();
        assert_eq!(outbox.next_due(now), Some(now));
        assert_eq!(ids(&outbox.due(now)), [(1, false), (2, false)]);
        assert_eq!(ids(&outbox.due(now)), []);
        outbox.reconnected(now, 20, 100);
        outbox.push(pending(3)).unwrap();
        assert_eq!(ids(&outbox.due(now)), [(1, true), (2, true), (3, false)]);
    }

    #[test]
    fn settled_is_forgotten_and_only_once() {
        let now = Instant::now();
        let mut outbox = Outbox::new(10, RESEND);
        outbox.push(pending(1)).unwrap();
        assert!(outbox.settle(MessageId::from_u128(1)));
        assert!(!outbox.settle(MessageId::from_u128(1)));
        assert_eq!(outbox.next_due(now), None);
        outbox.push(pending(2)).unwrap();
        outbox.due(now);
        assert!(outbox.settle(MessageId::from_u128(2)));
        assert_eq!(outbox.len(), 0);
    }

    #[test]
    fn unanswered_comes_again_and_postponed_comes_when_told() {
        let now = Instant::now();
        let mut outbox = Outbox::new(10, RESEND);
        outbox.push(pending(1)).unwrap();
        outbox.push(pending(2)).unwrap();
        outbox.due(now);
        assert!(outbox.postpone(MessageId::from_u128(2), now, Duration::from_secs(1)));
        assert_eq!(outbox.next_due(now), Some(now + Duration::from_secs(1)));
        assert_eq!(ids(&outbox.due(now + Duration::from_secs(1))), [(2, true)]);
        assert_eq!(ids(&outbox.due(now + RESEND)), [(1, true)]);
    }

    /// Each of those rejected would come at the same moment otherwise, and all but one of them be rejected again.
    #[test]
    fn what_was_too_fast_goes_at_the_pace_and_in_its_order() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut outbox = Outbox::new(10, RESEND);
        outbox.reconnected(start, 20, 3);
        for number in 1..=4 {
            outbox.push(pending(number)).unwrap();
        }
        assert_eq!(
            ids(&outbox.due(start)),
            [(1, false), (2, false), (3, false)]
        );
        assert_eq!(outbox.next_due(start), Some(at(50)));
        for number in [2, 3] {
            let wait = Duration::from_millis(70);
            assert!(outbox.hold(MessageId::from_u128(number), at(10), wait));
        }
        assert_eq!(outbox.next_due(at(10)), Some(at(80)));
        assert_eq!(ids(&outbox.due(at(79))), []);
        for (ms, expected) in [(80, (2, true)), (130, (3, true)), (180, (4, false))] {
            assert_eq!(outbox.next_due(at(ms - 1)), Some(at(ms)));
            assert_eq!(ids(&outbox.due(at(ms))), [expected]);
        }
        assert_eq!(outbox.next_due(at(180)), Some(start + RESEND));
    }

    #[test]
    fn full_gives_the_command_back() {
        let mut outbox = Outbox::new(1, RESEND);
        outbox.push(pending(1)).unwrap();
        assert_eq!(outbox.push(pending(2)), Err(pending(2)));
        assert_eq!(outbox.len(), 1);
    }
}
