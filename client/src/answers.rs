//! What the REST API answers.

use protocol::{Role, RoomId, RoomKind, Seq, UserId};
use serde::Deserialize;

use crate::event::{Message, RoomEvent};

/// What `POST /v1/dev/token` gives.
#[derive(Clone, Deserialize)]
pub struct DevToken {
    /// The token for `hello` and for `Authorization`.
    pub token: String,
    /// Who it is for.
    pub user: UserId,
}

/// The token is a secret: it is not shown.
impl std::fmt::Debug for DevToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevToken")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// A page of a room's log.
#[derive(Debug, Clone, Deserialize)]
pub struct History {
    /// Entries by seq.
    pub messages: Vec<Entry>,
    /// The highest seq that the caller may see.
    pub head: Seq,
}

/// An entry of a room's log, as the socket would have sent it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "serde_json::Value")]
pub enum Entry {
    /// A message.
    Message(Message),
    /// Anything else.
    Room(RoomEvent),
}

impl Entry {
    /// Its number in the room.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        match self {
            Self::Message(message) => message.seq,
            Self::Room(event) => event.seq,
        }
    }
}

impl TryFrom<serde_json::Value> for Entry {
    type Error = serde_json::Error;

    fn try_from(value: serde_json::Value) -> Result<Self, serde_json::Error> {
        if value.get("type").is_some_and(|word| word == "message") {
            serde_json::from_value(value).map(Self::Message)
        } else {
            serde_json::from_value(value).map(Self::Room)
        }
    }
}

/// One of the caller's rooms.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RoomSummary {
    /// Its id.
    pub room: RoomId,
    /// Direct or group.
    pub kind: RoomKind,
    /// A group's name.
    pub name: String,
    /// The highest seq.
    pub head: Seq,
    /// Up to which seq the caller has read.
    pub read: Seq,
    /// Messages of others above it.
    pub unread: i64,
    /// The last message, with the first 200 characters of its body.
    pub last: Option<Entry>,
}

/// A room and everybody in it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RoomView {
    /// Its id.
    pub room: RoomId,
    /// Direct or group.
    pub kind: RoomKind,
    /// A group's name.
    pub name: String,
    /// The highest seq.
    pub head: Seq,
    /// Everybody in it.
    pub members: Vec<Member>,
}

/// A member of a room.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// Called what.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// The seq that they joined at.
    pub joined: Seq,
    /// Up to which seq they have read.
    pub read: Seq,
}
