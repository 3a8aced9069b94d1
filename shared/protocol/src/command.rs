//! A command: what somebody wants of a room, as it stands in `chat-send`.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::content::{check_body, check_name, check_no_name};
use crate::{Address, BodyError, DlqReason, Home, MessageId, RoomId, Seq, UserId};

/// The version that this build writes into records and understands.
pub const VERSION: u8 = 1;

/// One value of `chat-send`. Its record's key is `room` in ASCII decimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Version of the encoding.
    pub v: u8,
    /// The room that it is about; for `create`, the id reserved for it.
    pub room: RoomId,
    /// Who wants it: taken from the token, never from the client's frame.
    pub sender: UserId,
    /// The sender's id of it; the same on every retry.
    pub id: MessageId,
    /// Set on every resend: the store is asked first whether it is known (docs/architecture.md, "Redelivery").
    #[serde(default)]
    pub retry: bool,
    /// When the gateway took it, in ms since 1970. Shown, never decided by.
    pub at: i64,
    /// Where its outcome goes; none for commands that nobody waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What is wanted.
    #[serde(flatten)]
    pub kind: CommandKind,
}

/// Who waits for the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The home that its gateway reads.
    pub home: Home,
    /// The socket session or REST request on it.
    pub session: Address,
}

/// What is wanted of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CommandKind {
    /// Make the room.
    Create {
        /// Direct or group.
        room_kind: RoomKind,
        /// A group's name; empty for a direct room.
        #[serde(default)]
        name: String,
        /// Everybody in it, the creator included.
        members: Vec<UserId>,
    },
    /// Say something.
    Message {
        /// The text.
        body: String,
    },
    /// Replace the text of a message of one's own.
    Edit {
        /// Which.
        seq: Seq,
        /// The new text.
        body: String,
    },
    /// Take a message away.
    Delete {
        /// Which.
        seq: Seq,
    },
    /// Add a member.
    Add {
        /// Whom.
        user: UserId,
    },
    /// Remove a member; oneself: leave.
    Remove {
        /// Whom.
        user: UserId,
    },
    /// Change a member's role.
    Role {
        /// Whose.
        user: UserId,
        /// To what.
        role: Role,
    },
    /// Change the group's name.
    Rename {
        /// To what.
        name: String,
    },
    /// Delete the room for everyone.
    DeleteRoom,
}

/// What kind of room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomKind {
    /// Exactly two users, one per pair, never deleted.
    Direct,
    /// Any number up to the limit.
    Group,
}

impl RoomKind {
    /// As it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Group => "group",
        }
    }
}

/// What a member may do; later ones may do more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Send, edit and delete one's own, leave.
    Member,
    /// Also add and remove members, rename, delete others' messages.
    Admin,
    /// Also change roles and delete the room.
    Owner,
}

impl Role {
    /// As it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

/// A stored word that is no [`Role`] or [`RoomKind`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown word {0:?}")]
pub struct UnknownWord(pub String);

impl std::str::FromStr for Role {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text {
            "member" => Ok(Self::Member),
            "admin" => Ok(Self::Admin),
            "owner" => Ok(Self::Owner),
            _ => Err(UnknownWord(text.to_owned())),
        }
    }
}

impl std::str::FromStr for RoomKind {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text {
            "direct" => Ok(Self::Direct),
            "group" => Ok(Self::Group),
            _ => Err(UnknownWord(text.to_owned())),
        }
    }
}

/// Why a record of `chat-send` or `chat-signal` is nothing that can be decided.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// Not JSON, or not of the record's form.
    #[error("not of its topic's form")]
    Json(#[from] serde_json::Error),
    /// Written by a later build.
    #[error("version {0} is not understood, only {VERSION}")]
    Version(u64),
    /// A command's body or name can't be stored.
    #[error("its content can't be stored")]
    Content {
        /// All of it: whoever waits for its outcome can be told.
        command: Box<Command>,
        /// What is wrong.
        #[source]
        error: BodyError,
    },
}

impl Invalid {
    /// As it is told in `chat-dlq`.
    pub const fn reason(&self) -> DlqReason {
        match self {
            Self::Json(_) => DlqReason::Undecodable,
            Self::Version(_) => DlqReason::UnknownVersion,
            Self::Content { .. } => DlqReason::BadData,
        }
    }
}

/// Reads a record that says its version. Another version may have any other form as well, so it is
/// told by its version, not by what this build does not know in it.
pub(crate) fn of_this_version<T: DeserializeOwned>(
    value: &[u8],
    version: impl Fn(&T) -> u8,
) -> Result<T, Invalid> {
    #[derive(Deserialize)]
    struct Versioned {
        v: u64,
    }
    match serde_json::from_slice::<T>(value) {
        Ok(record) if version(&record) == VERSION => Ok(record),
        Ok(record) => Err(Invalid::Version(version(&record).into())),
        Err(error) => match serde_json::from_slice(value) {
            Ok(Versioned { v }) if v != u64::from(VERSION) => Err(Invalid::Version(v)),
            _ => Err(Invalid::Json(error)),
        },
    }
}

impl Command {
    /// Reads a value of `chat-send`, checking what every gateway checks before it produces: what
    /// passes here can be stored.
    pub fn decode(value: &[u8]) -> Result<Self, Invalid> {
        let command: Self = of_this_version(value, |command: &Self| command.v)?;
        match command.kind.check() {
            Ok(()) => Ok(command),
            Err(error) => Err(Invalid::Content {
                command: Box::new(command),
                error,
            }),
        }
    }

    /// The value of its record.
    pub fn encode(&self) -> Vec<u8> {
        // Maps with text keys, numbers and texts only: nothing that JSON can't write.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The key of its record: what keeps a room in one lane.
    pub fn key(&self) -> String {
        self.room.to_string()
    }
}

impl CommandKind {
    /// Checks bodies and names.
    pub fn check(&self) -> Result<(), BodyError> {
        match self {
            Self::Message { body } | Self::Edit { body, .. } => check_body(body),
            Self::Rename { name }
            | Self::Create {
                room_kind: RoomKind::Group,
                name,
                ..
            } => check_name(name),
            Self::Create {
                room_kind: RoomKind::Direct,
                name,
                ..
            } => check_no_name(name),
            _ => Ok(()),
        }
    }

    /// The word it is stored and counted under: the kind of the event that it leads to, so that
    /// (room, sender, kind, id) names both.
    pub const fn event_kind(&self) -> &'static str {
        match self {
            Self::Create { .. } => "created",
            Self::Message { .. } => "message",
            Self::Edit { .. } => "edited",
            Self::Delete { .. } => "deleted",
            Self::Add { .. } => "member_added",
            Self::Remove { .. } => "member_removed",
            Self::Role { .. } => "role_changed",
            Self::Rename { .. } => "renamed",
            Self::DeleteRoom => "room_deleted",
        }
    }
}
