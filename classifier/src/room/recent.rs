//! What a state remembers of its latest events, so that the usual retry, edit and deletion need no
//! query. Bounded: what is forgotten is found in the store.

use std::collections::VecDeque;

use protocol::{MessageId, Seq, UserId};

/// Ids that a room's state remembers between batches.
pub const RECENT_IDS: usize = 32;
/// Messages whose sender a room's state remembers between batches.
pub const RECENT_TARGETS: usize = 32;

/// A message that may be edited or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Who said it.
    pub sender: UserId,
    /// It was deleted already.
    pub deleted: bool,
}

/// (sender, kind, id) → seq, the latest last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RecentIds(VecDeque<(MessageId, UserId, &'static str, Seq)>);

impl RecentIds {
    pub(super) fn find(&self, sender: UserId, kind: &str, id: MessageId) -> Option<Seq> {
        self.0
            .iter()
            .rev()
            .find(|(i, s, k, _)| *i == id && *s == sender && *k == kind)
            .map(|(.., seq)| *seq)
    }

    pub(super) fn push(&mut self, sender: UserId, kind: &'static str, id: MessageId, seq: Seq) {
        self.0.push_back((id, sender, kind, seq));
    }

    pub(super) fn trim(&mut self) {
        let over = self.0.len().saturating_sub(RECENT_IDS);
        self.0.drain(..over);
    }
}

/// seq → its message, in no order: a handful.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RecentTargets(VecDeque<(Seq, Target)>);

impl RecentTargets {
    pub(super) fn find(&self, seq: Seq) -> Option<Target> {
        let found = self.0.iter().rev().find(|(s, _)| *s == seq);
        found.map(|(_, target)| *target)
    }

    pub(super) fn push(&mut self, seq: Seq, target: Target) {
        self.0.push_back((seq, target));
    }

    pub(super) fn mark_deleted(&mut self, seq: Seq) {
        for (_, target) in self.0.iter_mut().filter(|(s, _)| *s == seq) {
            target.deleted = true;
        }
    }

    pub(super) fn trim(&mut self) {
        let over = self.0.len().saturating_sub(RECENT_TARGETS);
        self.0.drain(..over);
    }
}
