//! What the classifier loads: states to decide on, stored events to route again, read marks.

use std::collections::HashMap;

use protocol::{Event, Lane, MessageId, Role, RoomId, RoomKind, Seq, UserId};

use crate::{Store, StoreError};

/// A room as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRoom {
    /// Direct or group.
    pub kind: RoomKind,
    /// Its name; empty for a direct room.
    pub name: String,
    /// The highest stored seq.
    pub head: Seq,
    /// The seq of its deletion.
    pub deleted: Option<Seq>,
    /// Today's members: user, role, the seq that they joined at.
    pub members: Vec<(UserId, Role, Seq)>,
}

/// What an edit or deletion has to know about its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageTarget {
    /// Who said it.
    pub sender: UserId,
    /// Whether it is a message at all, not another event.
    pub is_message: bool,
    /// Whether it is a tombstone by now.
    pub deleted: bool,
}

/// What names a command and the event that it led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventKey {
    /// The room.
    pub room: RoomId,
    /// Who sent the command.
    pub sender: UserId,
    /// The event's word, as `CommandKind::event_kind` and `EventKind::word` say.
    pub kind: &'static str,
    /// The sender's id of it.
    pub id: MessageId,
}

/// A stored event and who gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundEvent {
    /// As stored now: of a message edited since, the later text.
    pub event: Event,
    /// The members *at that seq* (traps 1, 3), whoever was removed by it included.
    pub recipients: Vec<UserId>,
}

/// Answer of [`Store::find_events`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FoundEvents {
    /// Those that are stored.
    pub found: HashMap<EventKey, FoundEvent>,
    /// `applied` of the lanes asked for, in the same snapshot.
    pub applied: HashMap<Lane, i64>,
}

/// A read mark that rose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkRaised {
    /// Where.
    pub room: RoomId,
    /// Whose.
    pub user: UserId,
    /// Up to which seq they have read now; never above the head.
    pub upto: Seq,
}

impl Store {
    /// Loads rooms; those that do not exist are absent from the answer.
    pub async fn load_rooms(
        &self,
        rooms: &[RoomId],
    ) -> Result<HashMap<RoomId, StoredRoom>, StoreError> {
        let _ = rooms;
        todo!()
    }

    /// Loads what edits and deletions are about; seqs that do not exist are absent.
    pub async fn load_messages(
        &self,
        targets: &[(RoomId, Seq)],
    ) -> Result<HashMap<(RoomId, Seq), MessageTarget>, StoreError> {
        let _ = targets;
        todo!()
    }

    /// Finds stored events by the ids of their commands, and `applied` of `lanes`, in one snapshot.
    pub async fn find_events(
        &self,
        keys: &[EventKey],
        lanes: &[Lane],
    ) -> Result<FoundEvents, StoreError> {
        let _ = (keys, lanes);
        todo!()
    }

    /// Raises read marks (room, user, up to), clamped to the head; highest wins. Answers those that
    /// rose: marks of non-members, and those that were as high before, are left out.
    pub async fn raise_marks(
        &self,
        marks: &[(RoomId, UserId, Seq)],
    ) -> Result<Vec<MarkRaised>, StoreError> {
        let _ = marks;
        todo!()
    }
}
