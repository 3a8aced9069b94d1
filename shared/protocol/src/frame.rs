//! The frames of the socket, both ways. `type` stands first.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Address, ErrorCode, Limits, MessageId, RejectCode, RoomId, Seq, UserId};

/// What a client may send. Unknown fields are ignored; an unknown `type` is answered with `error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientFrame {
    /// The first frame.
    Hello {
        /// Who is there; never in the URL.
        token: String,
        /// A stable id of this device; a second session of it closes the first.
        device: String,
        /// The last seq seen, by room.
        #[serde(default, deserialize_with = "by_room")]
        cursors: BTreeMap<RoomId, Seq>,
    },
    /// Say something.
    Send {
        /// Where.
        room: RoomId,
        /// The client's id of it; the same on every resend.
        id: MessageId,
        /// The text.
        body: String,
        /// Set on every resend.
        #[serde(default)]
        retry: bool,
    },
    /// Replace the text of one's own message.
    Edit {
        /// Where.
        room: RoomId,
        /// Which.
        seq: Seq,
        /// The client's id of the edit.
        id: MessageId,
        /// The new text.
        body: String,
        /// Set on every resend.
        #[serde(default)]
        retry: bool,
    },
    /// Take a message away.
    Delete {
        /// Where.
        room: RoomId,
        /// Which.
        seq: Seq,
        /// The client's id of the deletion.
        id: MessageId,
        /// Set on every resend.
        #[serde(default)]
        retry: bool,
    },
    /// Everything up to here was read.
    Read {
        /// Where.
        room: RoomId,
        /// Up to which.
        seq: Seq,
    },
    /// Typing now.
    Typing {
        /// Where.
        room: RoomId,
    },
    /// Whose presence to follow.
    Watch {
        /// Whose.
        users: Vec<UserId>,
    },
}

/// A map's keys are texts in JSON, and serde reads the fields of a tagged enum through a buffer that
/// does not turn them back into numbers.
fn by_room<'de, D: Deserializer<'de>>(input: D) -> Result<BTreeMap<RoomId, Seq>, D::Error> {
    BTreeMap::<String, Seq>::deserialize(input)?
        .into_iter()
        .map(|(room, seq)| Ok((room.parse().map_err(D::Error::custom)?, seq)))
        .collect()
}

const CLIENT_TYPES: [&str; 7] = ["hello", "send", "edit", "delete", "read", "typing", "watch"];

/// Why a text is no client frame.
#[derive(Debug, thiserror::Error)]
pub enum BadFrame {
    /// Not JSON, no object, no `type`, or a field that is missing or of the wrong form.
    #[error("{0}")]
    Malformed(serde_json::Error),
    /// JSON with a `type` that is not known.
    #[error("unknown type {0:?}")]
    UnknownType(String),
}

impl ClientFrame {
    /// Reads one text frame.
    pub fn decode(text: &[u8]) -> Result<Self, BadFrame> {
        #[derive(Deserialize)]
        struct Typed {
            r#type: String,
        }
        serde_json::from_slice(text).map_err(|error| match serde_json::from_slice::<Typed>(text) {
            Ok(typed) if !CLIENT_TYPES.contains(&typed.r#type.as_str()) => {
                BadFrame::UnknownType(typed.r#type)
            }
            _ => BadFrame::Malformed(error),
        })
    }
}

/// What the server sends, but for `message` and `event`, which are [`crate::Event`]s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    /// The answer to `hello`, once the session is where it can miss nothing: what was missed follows it,
    /// and so does whatever is stored from now on.
    Welcome {
        /// This session.
        session: Address,
        /// Who the token says it is.
        user: UserId,
        /// The gateway's name.
        was: String,
        /// A ping comes at least this often.
        heartbeat_ms: u64,
        /// The limits in force.
        limits: Limits,
        /// Where the session begins in the rooms that `hello` named no cursor for.
        #[serde(
            default,
            skip_serializing_if = "BTreeMap::is_empty",
            deserialize_with = "by_room"
        )]
        cursors: BTreeMap<RoomId, Seq>,
    },
    /// Kafka has it (may come after the `message`).
    Accepted {
        /// Which.
        id: MessageId,
    },
    /// The answer to a resend of what is stored, and to commands that are no message.
    Stored {
        /// Which.
        id: MessageId,
        /// Where.
        room: RoomId,
        /// Under which seq.
        seq: Seq,
    },
    /// It was not, or not surely, carried out.
    Rejected {
        /// Which.
        id: MessageId,
        /// Why.
        code: RejectCode,
        /// Why, in words.
        message: String,
        /// When to try again, for `rate_limited`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// More was missed than is replayed; page it over REST.
    Gap {
        /// Where.
        room: RoomId,
        /// The first missing.
        from: Seq,
        /// The last missing.
        to: Seq,
    },
    /// A member read up to here; in catch-up too.
    Read {
        /// Where.
        room: RoomId,
        /// Who.
        user: UserId,
        /// Up to which: not a seq of the log (trap 13).
        upto: Seq,
    },
    /// A member is typing.
    Typing {
        /// Where.
        room: RoomId,
        /// Who.
        user: UserId,
    },
    /// A watched user came or went.
    Presence {
        /// Who.
        user: UserId,
        /// Here or not.
        state: Presence,
    },
    /// The cursor was above the room's head and was put back to it.
    CursorClamped {
        /// Where.
        room: RoomId,
        /// The head.
        head: Seq,
    },
    /// The socket is about to be closed.
    Bye {
        /// The close code's reason.
        code: String,
        /// Reconnect after this.
        retry_after_ms: u64,
    },
    /// A frame was not understood; the session goes on.
    Error {
        /// Why.
        code: ErrorCode,
        /// Why, in words.
        message: String,
        /// The frame's id, if it had one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<MessageId>,
    },
    /// Sent inside the house only: a newer session of the same device took over.
    Evict {
        /// The newer one.
        by: Address,
    },
}

/// Here or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// At least one session.
    Online,
    /// None.
    Offline,
}

impl ServerFrame {
    /// The frame's text.
    pub fn encode(&self) -> Bytes {
        // Texts and numbers only: nothing that JSON can't write.
        Bytes::from(serde_json::to_vec(self).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_with_cursors_survives_its_own_encoding() {
        let hello = ClientFrame::Hello {
            token: "t".to_owned(),
            device: "d".to_owned(),
            cursors: BTreeMap::from([(RoomId::new(42).unwrap(), Seq::new(7).unwrap())]),
        };
        let text = serde_json::to_vec(&hello).unwrap_or_default();
        assert_eq!(ClientFrame::decode(&text).ok(), Some(hello));
        let zero = br#"{"type":"hello","token":"t","device":"d","cursors":{"0":1}}"#;
        assert!(ClientFrame::decode(zero).is_err());
    }
}
