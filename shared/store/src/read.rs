//! What the REST API shows: rooms, members, history, users.

use std::collections::HashMap;

use protocol::{Event, MessageId, Role, RoomId, RoomKind, Seq, UserId};

use crate::{Store, StoreError};

/// What a new room is reserved under: every repeat names the same room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RoomKey {
    /// The direct room of two users, in whichever order.
    Direct(UserId, UserId),
    /// A group: its creator and the id of the command.
    Created(UserId, MessageId),
}

/// One of a user's rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomSummary {
    /// Which.
    pub room: RoomId,
    /// Direct or group.
    pub kind: RoomKind,
    /// Its name; empty for a direct room.
    pub name: String,
    /// The highest stored seq.
    pub head: Seq,
    /// The user's role.
    pub role: Role,
    /// The seq that the user joined at.
    pub joined_seq: Seq,
    /// Up to which the user has read.
    pub mark: Seq,
    /// Messages of others above the mark; counted to 1,000, tombstones left out.
    pub unread: i64,
    /// The last message that the user may see and that is not deleted.
    pub last: Option<Event>,
    /// Of a direct room, the other one.
    pub peer: Option<UserId>,
}

/// A member of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomMember {
    /// Who.
    pub user: UserId,
    /// Their name; empty for users that only their token knows.
    pub name: String,
    /// Their role.
    pub role: Role,
    /// The seq that they joined at.
    pub joined_seq: Seq,
    /// Up to which they have read.
    pub mark: Seq,
}

/// A room as one of its members sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomView {
    /// Which.
    pub room: RoomId,
    /// Direct or group.
    pub kind: RoomKind,
    /// Its name; empty for a direct room.
    pub name: String,
    /// The highest stored seq.
    pub head: Seq,
    /// Everybody in it, by id.
    pub members: Vec<RoomMember>,
}

/// Which part of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// The first ones above this seq.
    After(Seq),
    /// The last ones below this seq.
    Before(Seq),
}

/// A part of a room's history, by seq.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// What the user may see of it (I12).
    pub events: Vec<Event>,
    /// The highest seq that the user may see: of a room left, the one of the removal.
    pub head: Seq,
}

impl Store {
    /// The id of the room of `key`, reserved now if it is the first time.
    pub async fn reserve_room(&self, key: RoomKey) -> Result<RoomId, StoreError> {
        let _ = key;
        todo!()
    }

    /// All rooms that the user is in, by id.
    pub async fn rooms_of(&self, user: UserId) -> Result<Vec<RoomSummary>, StoreError> {
        let _ = user;
        todo!()
    }

    /// A room, if the user is in it.
    pub async fn room(&self, user: UserId, room: RoomId) -> Result<Option<RoomView>, StoreError> {
        let _ = (user, room);
        todo!()
    }

    /// A part of a room's history; none for who never was in it. Who has left sees what was said
    /// while they were there.
    pub async fn history(
        &self,
        user: UserId,
        room: RoomId,
        page: Page,
        limit: i64,
    ) -> Result<Option<History>, StoreError> {
        let _ = (user, room, page, limit);
        todo!()
    }

    /// What a command led to, if it is stored: for callers whose outcome did not come in time.
    /// `kind` is the event's word (`CommandKind::event_kind`).
    pub async fn find_outcome(
        &self,
        room: RoomId,
        sender: UserId,
        kind: &str,
        id: MessageId,
    ) -> Result<Option<Event>, StoreError> {
        let _ = (room, sender, kind, id);
        todo!()
    }

    /// The user of that name, made when new.
    pub async fn create_or_get_user(&self, name: &str) -> Result<UserId, StoreError> {
        let _ = name;
        todo!()
    }

    /// Those of `users` that exist, by id.
    pub async fn users_exist(&self, users: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        let _ = users;
        todo!()
    }

    /// The names of those of `users` that exist.
    pub async fn names(&self, users: &[UserId]) -> Result<HashMap<UserId, String>, StoreError> {
        let _ = users;
        todo!()
    }
}
