//! The records whose deliveries sessions here hold: what is looked through when a session ends.

use std::collections::VecDeque;

use protocol::{RoomId, Seq, UserId};

use super::{Orphan, Round};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Entry {
    offset: i64,
    round: Round,
    room: RoomId,
    seq: Seq,
    /// Those of its recipients whose sessions hold it.
    users: Vec<UserId>,
}

/// What the sessions of one user have left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) user: UserId,
    /// The first record that one of the ended sessions held.
    pub(super) from: i64,
    /// The first record that another session of the user holds as well, with all after it.
    pub(super) until: i64,
}

/// In the order of their offsets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Ledger {
    entries: VecDeque<Entry>,
    deliveries: usize,
}

impl Ledger {
    pub(super) fn records(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn deliveries(&self) -> usize {
        self.deliveries
    }

    pub(super) fn enter(
        &mut self,
        round: Round,
        offset: i64,
        room: RoomId,
        seq: Seq,
        users: Vec<UserId>,
    ) {
        self.deliveries += users.len();
        self.entries.push_back(Entry {
            offset,
            round,
            room,
            seq,
            users,
        });
    }

    /// Takes out what was left behind, one pass for all; `left` is sorted by user.
    pub(super) fn orphan(&mut self, left: &[Left], mut found: impl FnMut(Round, Orphan)) {
        let Some(lowest) = left.iter().map(|left| left.from).min() else {
            return;
        };
        let begin = self.entries.partition_point(|entry| entry.offset < lowest);
        for entry in self.entries.range_mut(begin..) {
            let (offset, round, room, seq) = (entry.offset, entry.round, entry.room, entry.seq);
            let before = entry.users.len();
            entry.users.retain(|&user| {
                let ended = left
                    .binary_search_by_key(&user, |left| left.user)
                    .is_ok_and(|i| left[i].from <= offset && offset < left[i].until);
                if ended {
                    found(round, Orphan { user, room, seq });
                }
                !ended
            });
            self.deliveries -= before - entry.users.len();
        }
    }

    /// Forgets a round that is done; returns how many deliveries were confirmed in it.
    pub(super) fn close(&mut self, round: Round) -> u64 {
        let end = self.entries.partition_point(|entry| entry.round <= round);
        let confirmed: usize = self
            .entries
            .drain(..end)
            .map(|entry| entry.users.len())
            .sum();
        self.deliveries -= confirmed;
        confirmed as u64
    }
}
