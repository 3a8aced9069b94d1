//! An event: what happened in a room, under its seq; stored once, sent to everyone as one frame.

use bytes::Bytes;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::{MessageId, Role, RoomId, RoomKind, Seq, UserId, format_ms};

/// One entry of a room's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The room.
    pub room: RoomId,
    /// Its number in the room.
    pub seq: Seq,
    /// The id that its sender gave it.
    pub id: MessageId,
    /// Who did it.
    pub from: UserId,
    /// When its gateway took it, ms since 1970.
    pub at: i64,
    /// What happened.
    pub kind: EventKind,
}

/// What happened. Stored as the word ([`EventKind::word`]) and its fields as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// The room was made.
    Created {
        /// Direct or group.
        room_kind: RoomKind,
        /// Its name.
        name: String,
        /// Its first members.
        members: Vec<UserId>,
    },
    /// Somebody said something.
    Message {
        /// The text; of a deleted message, empty.
        body: String,
        /// The seq of its latest edit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        edited: Option<Seq>,
        /// The seq of its deletion: what is left is a tombstone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deleted: Option<Seq>,
    },
    /// A message's text was replaced.
    Edited {
        /// Whose.
        target: Seq,
        /// The new text.
        body: String,
    },
    /// A message was taken away.
    Deleted {
        /// Which.
        target: Seq,
    },
    /// Somebody joined.
    MemberAdded {
        /// Who.
        user: UserId,
    },
    /// Somebody left or was removed.
    MemberRemoved {
        /// Who.
        user: UserId,
        /// Who owns the group from now on, when its last owner left.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<UserId>,
    },
    /// A member may do more or less now.
    RoleChanged {
        /// Who.
        user: UserId,
        /// What they are now.
        role: Role,
    },
    /// The group has another name.
    Renamed {
        /// The name.
        name: String,
    },
    /// The room is gone for everyone.
    RoomDeleted,
}

/// A stored event that this build can't read.
#[derive(Debug, thiserror::Error)]
#[error("stored event of kind {kind:?} can't be read")]
pub struct UnknownEvent {
    /// Its word.
    pub kind: String,
    /// What is wrong with its fields.
    #[source]
    pub source: serde_json::Error,
}

impl EventKind {
    /// A message as it is when first said.
    pub fn message(body: String) -> Self {
        Self::Message {
            body,
            edited: None,
            deleted: None,
        }
    }

    /// The word it is stored and counted under.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Created { .. } => "created",
            Self::Message { .. } => "message",
            Self::Edited { .. } => "edited",
            Self::Deleted { .. } => "deleted",
            Self::MemberAdded { .. } => "member_added",
            Self::MemberRemoved { .. } => "member_removed",
            Self::RoleChanged { .. } => "role_changed",
            Self::Renamed { .. } => "renamed",
            Self::RoomDeleted => "room_deleted",
        }
    }

    /// Its fields without the word: the `content` column.
    pub fn content(&self) -> serde_json::Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(map) = value.as_object_mut() {
            map.remove("kind");
        }
        value
    }

    /// Reads what [`word`](Self::word) and [`content`](Self::content) wrote.
    pub fn from_stored(word: &str, content: serde_json::Value) -> Result<Self, UnknownEvent> {
        let mut content = content;
        if let Some(map) = content.as_object_mut() {
            map.insert("kind".to_owned(), word.into());
        }
        serde_json::from_value(content).map_err(|source| UnknownEvent {
            kind: word.to_owned(),
            source,
        })
    }
}

/// As clients get it: `{"type":"message",…}` or `{"type":"event","kind":…}`, `type` first.
impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let is_message = matches!(self.kind, EventKind::Message { .. });
        map.serialize_entry("type", if is_message { "message" } else { "event" })?;
        map.serialize_entry("room", &self.room)?;
        map.serialize_entry("seq", &self.seq)?;
        if !is_message {
            map.serialize_entry("kind", self.kind.word())?;
        }
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("from", &self.from)?;
        match &self.kind {
            EventKind::Created {
                room_kind,
                name,
                members,
            } => {
                map.serialize_entry("room_kind", room_kind)?;
                map.serialize_entry("name", name)?;
                map.serialize_entry("members", members)?;
            }
            EventKind::Message {
                body,
                edited,
                deleted,
            } => {
                map.serialize_entry("body", body)?;
                if let Some(seq) = edited {
                    map.serialize_entry("edited", seq)?;
                }
                if let Some(seq) = deleted {
                    map.serialize_entry("deleted", seq)?;
                }
            }
            EventKind::Edited { target, body } => {
                map.serialize_entry("target", target)?;
                map.serialize_entry("body", body)?;
            }
            EventKind::Deleted { target } => map.serialize_entry("target", target)?,
            EventKind::MemberAdded { user } => map.serialize_entry("user", user)?,
            EventKind::MemberRemoved { user, owner } => {
                map.serialize_entry("user", user)?;
                if let Some(owner) = owner {
                    map.serialize_entry("owner", owner)?;
                }
            }
            EventKind::RoleChanged { user, role } => {
                map.serialize_entry("user", user)?;
                map.serialize_entry("role", role)?;
            }
            EventKind::Renamed { name } => map.serialize_entry("name", name)?,
            EventKind::RoomDeleted => {}
        }
        map.serialize_entry("at", &format_ms(self.at))?;
        map.end()
    }
}

impl Event {
    /// The frame as clients get it: serialised once, the same bytes on every socket.
    pub fn to_frame(&self) -> Bytes {
        // Texts and numbers only: nothing that JSON can't write.
        Bytes::from(serde_json::to_vec(self).unwrap_or_default())
    }
}
