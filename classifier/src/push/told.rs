//! What is told, and what became of it.

use std::sync::Arc;

use protocol::{PushRecord, RoomId, Seq};
use service::kafka::Incoming;
use service::trace::Span;
use store::Notice;

use super::done::Partition;

/// A message that a user is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    /// Where.
    pub(super) room: RoomId,
    /// Which.
    pub(super) seq: Seq,
    /// What it says.
    pub(super) notice: Notice,
    /// The sender's name; empty for users that only their token knows.
    pub(super) sender_name: String,
}

/// What a push says; where it says nothing, what becomes of it.
pub(super) type Said = Result<Told, Fate>;

/// The fates of these pushes, if this is the one of those that say something.
pub(super) fn fates(said: &[Said], fate: Fate) -> impl Iterator<Item = Fate> {
    said.iter().map(move |one| match one {
        Ok(_) => fate,
        Err(other) => *other,
    })
}

/// A push on its way.
pub(super) struct Item {
    pub(super) record: PushRecord,
    /// As it came, for `chat-dlq`.
    pub(super) raw: Incoming,
    /// If it is traced, until it is told.
    pub(super) span: Option<Span>,
    pub(super) partition: Arc<Partition>,
}

/// What became of a push. Of several, the last one here is what became of it as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// There was nothing to tell.
    Nothing,
    /// There was nowhere to tell it.
    Nowhere,
    /// A device will never take it; another may have it.
    Refused,
    /// Somebody has it.
    Delivered,
    /// Somebody would not take it.
    GivenUp,
    /// What it says can't be read.
    Unreadable,
}
