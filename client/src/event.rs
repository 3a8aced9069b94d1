//! What a client tells its owner, and how it reads that from the socket.

use std::{collections::BTreeMap, time::Duration};

use protocol::{
    Address, ErrorCode, EventKind, Limits, MessageId, Presence, RejectCode, RoomId, Seq,
    ServerFrame, UserId,
};
use serde::Deserialize;
use tokio::time::Instant;

/// Something that happened, and when the connection's task saw it.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Taken before the event waited in any queue: what latencies are measured by.
    pub at: Instant,
    /// What happened.
    pub event: Event,
}

/// What can happen. Everything that the server sends is told as it comes, once per arrival: the client drops no
/// doubles and repairs no order, so that whoever watches it can count both.
#[derive(Debug, Clone)]
pub enum Event {
    /// Greeted by a server; what was missed follows.
    Connected(Connected),
    /// The connection ended; another is tried after `retry_in`.
    Disconnected {
        /// What ended it.
        cause: Ending,
        /// Nothing for the first attempt, then jittered.
        retry_in: Duration,
    },
    /// The client will not connect again; the last event.
    Stopped {
        /// What ended it.
        cause: Ending,
    },
    /// The server has it and will decide it.
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
        /// Under which number.
        seq: Seq,
    },
    /// It was not carried out, or not surely.
    Rejected {
        /// Which.
        id: MessageId,
        /// Why.
        code: RejectCode,
        /// Why, in words.
        message: String,
        /// When the outbox sends it again with the same id, at the earliest; none = it is dropped.
        resend_in: Option<Duration>,
    },
    /// A message arrived.
    Message(Message),
    /// Something else happened in a room.
    Room(RoomEvent),
    /// More was missed than is replayed: page it with [`crate::Rest::history`].
    Gap {
        /// Where.
        room: RoomId,
        /// The first missing.
        from: Seq,
        /// The last missing.
        to: Seq,
    },
    /// A member has read up to here.
    Read {
        /// Where.
        room: RoomId,
        /// Who.
        user: UserId,
        /// Up to which.
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
    /// The cursor was above the room's head.
    CursorClamped {
        /// Where.
        room: RoomId,
        /// The head: the cursor from now on.
        head: Seq,
    },
    /// The server is about to close the socket.
    Bye {
        /// Why.
        code: String,
        /// When it wants the client back.
        retry_after: Duration,
    },
    /// The server did not understand a frame.
    Error {
        /// Why.
        code: ErrorCode,
        /// Why, in words.
        message: String,
        /// The frame's id, if it had one.
        id: Option<MessageId>,
    },
    /// A frame that this client can't read: a newer server, or a fault.
    Unreadable {
        /// The first characters of it.
        text: String,
    },
}

/// A connection that was greeted.
#[derive(Debug, Clone)]
pub struct Connected {
    /// Where.
    pub url: String,
    /// The server's name for this session.
    pub session: Address,
    /// Who this is.
    pub user: UserId,
    /// The gateway's name.
    pub was: String,
    /// What it allows.
    pub limits: Limits,
    /// Where the rooms begin that no cursor was named for: new to this client, or joined while it was away.
    pub cursors: BTreeMap<RoomId, Seq>,
    /// How long nobody was connected; none at the first connection.
    pub away: Option<Duration>,
}

/// Why a connection ended, or could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Never came to stand, or broke.
    Broken(String),
    /// Closed by the server.
    Closed {
        /// The close code; 1005 when it gave none.
        code: u16,
        /// Its reason.
        reason: String,
    },
    /// Nothing was heard for longer than the server's heartbeat allows.
    Silent,
    /// The owner closed it.
    Asked,
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Broken(why) => f.write_str(why),
            Self::Closed { code, reason } => write!(f, "closed by the server: {code} {reason}"),
            Self::Silent => f.write_str("the server fell silent"),
            Self::Asked => f.write_str("closed"),
        }
    }
}

/// A message, as it is now: an edited one carries its latest text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Message {
    /// Where.
    pub room: RoomId,
    /// Its number there.
    pub seq: Seq,
    /// The id that its sender gave it.
    pub id: MessageId,
    /// Who said it.
    pub from: UserId,
    /// The text; empty when deleted.
    pub body: String,
    /// When a gateway took it: RFC 3339 with milliseconds.
    pub at: String,
    /// The number of its latest edit.
    #[serde(default)]
    pub edited: Option<Seq>,
    /// The number of its deletion.
    #[serde(default)]
    pub deleted: Option<Seq>,
}

/// Another entry of a room's log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RoomEvent {
    /// Where.
    pub room: RoomId,
    /// Its number there.
    pub seq: Seq,
    /// The id of the command that led to it.
    pub id: MessageId,
    /// Who did it.
    pub from: UserId,
    /// When a gateway took it: RFC 3339 with milliseconds.
    pub at: String,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

impl RoomEvent {
    /// Whether it is the last that this user sees of the room in this stay.
    pub(crate) fn ends_stay_of(&self, me: Option<UserId>) -> bool {
        match self.kind {
            EventKind::RoomDeleted => true,
            EventKind::MemberRemoved { user, .. } => Some(user) == me,
            _ => false,
        }
    }
}

/// A frame from the server.
#[derive(Debug)]
pub(crate) enum Frame {
    /// An entry of a room's log that is a message.
    Message(Message),
    /// Another entry of a room's log.
    Room(RoomEvent),
    /// Everything else.
    Control(ServerFrame),
}

impl Frame {
    /// Reads a text frame. `type` stands first on this wire, so that messages, the bulk, are read in one pass.
    pub(crate) fn decode(text: &str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Typed<'a> {
            r#type: &'a str,
        }
        if text.starts_with(r#"{"type":"message""#) {
            return serde_json::from_str(text).map(Self::Message);
        }
        match serde_json::from_str::<Typed<'_>>(text)?.r#type {
            "message" => serde_json::from_str(text).map(Self::Message),
            "event" => serde_json::from_str(text).map(Self::Room),
            _ => serde_json::from_str(text).map(Self::Control),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventKind) -> protocol::Event {
        let (room, seq) = (RoomId::new(7).unwrap(), Seq::new(3).unwrap());
        protocol::Event {
            room,
            seq,
            id: MessageId::from_u128(9),
            from: UserId::new(1).unwrap(),
            at: 0,
            kind,
        }
    }

    #[test]
    fn reads_what_the_protocol_writes() {
        let frame = event(EventKind::message("hi".to_owned())).to_frame();
        let Frame::Message(message) = Frame::decode(std::str::from_utf8(&frame).unwrap()).unwrap()
        else {
            panic!("not a message")
        };
        assert_eq!(
            (message.body.as_str(), message.seq.get(), message.deleted),
            ("hi", 3, None)
        );

        let kind = EventKind::Renamed {
            name: "b".to_owned(),
        };
        let frame = event(kind.clone()).to_frame();
        let Frame::Room(told) = Frame::decode(std::str::from_utf8(&frame).unwrap()).unwrap() else {
            panic!("not an event")
        };
        assert_eq!(told.kind, kind);

        let frame = ServerFrame::Accepted {
            id: MessageId::from_u128(9),
        }
        .encode();
        let told = Frame::decode(std::str::from_utf8(&frame).unwrap()).unwrap();
        assert!(matches!(told, Frame::Control(ServerFrame::Accepted { .. })));
    }

    #[test]
    fn order_of_fields_does_not_matter() {
        let text = r#"{"room":1,"type":"message","seq":2,"id":"00000000-0000-0000-0000-000000000009","from":3,
            "body":"x","at":"1970-01-01T00:00:00.000Z","later":true}"#;
        assert!(matches!(Frame::decode(text).unwrap(), Frame::Message(_)));
        assert!(Frame::decode("{}").is_err());
    }
}
