//! Records of `chat-receive`, `chat-signal` and `chat-dlq`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::command::of_this_version;
use crate::{Address, Invalid, MAX_RECIPIENTS_PER_RECORD, RoomId, Seq, UserId, VERSION};

/// Names of record headers.
pub mod header {
    /// Version of the encoding: one byte.
    pub const V: &str = "v";
    /// The room, i64 little-endian.
    pub const ROOM: &str = "room";
    /// The seq, i64 little-endian; absent on frames that have none.
    pub const SEQ: &str = "seq";
    /// Recipients: user ids, packed i64 little-endian.
    pub const TO: &str = "to";
    /// One recipient: a session's or request's UUID, 16 bytes.
    pub const SESSION: &str = "session";
    /// Present on records of the broadcast partition: do nothing for recipients that are not here.
    pub const BLIND: &str = "blind";
    /// `chat-dlq`: why.
    pub const REASON: &str = "reason";
    /// `chat-dlq`: the topic that it came from.
    pub const ORIGIN_TOPIC: &str = "origin_topic";
    /// `chat-dlq`: the partition that it came from, in decimal.
    pub const ORIGIN_PARTITION: &str = "origin_partition";
    /// `chat-dlq`: the offset that it came from, in decimal.
    pub const ORIGIN_OFFSET: &str = "origin_offset";
    /// `chat-dlq`: the key that it came with, cut if it is long; absent if it had none.
    pub const ORIGIN_KEY: &str = "origin_key";
}

/// One record header: a name from [`header`] and its bytes.
pub type Header = (&'static str, Bytes);

/// For whom a `chat-receive` record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Every session of these users.
    Users(Vec<UserId>),
    /// One session or waiting request.
    Session(Address),
}

/// The headers of a `chat-receive` record; its value is the frame as clients get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryHeaders {
    /// The room; absent on answers that concern none.
    pub room: Option<RoomId>,
    /// The seq, of frames that have one: only they are deduplicated (trap 13).
    pub seq: Option<Seq>,
    /// For whom.
    pub target: Target,
    /// From the broadcast partition.
    pub blind: bool,
}

/// A record of `chat-receive`, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its headers.
    pub headers: DeliveryHeaders,
    /// The frame.
    pub frame: Bytes,
}

/// Why a record of `chat-receive` can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The version header is missing or unknown.
    #[error("version is missing or not {VERSION}")]
    Version,
    /// A header's bytes are not of its form.
    #[error("header {0:?} is malformed")]
    Malformed(&'static str),
    /// Neither `to` nor `session`.
    #[error("no recipient: neither \"to\" nor \"session\"")]
    NoTarget,
}

impl DeliveryHeaders {
    /// Headers of an event for some users of one home. More than
    /// [`MAX_RECIPIENTS_PER_RECORD`] users must be split by the caller.
    pub fn event(room: RoomId, seq: Seq, to: Vec<UserId>) -> Self {
        debug_assert!(to.len() <= MAX_RECIPIENTS_PER_RECORD);
        Self {
            room: Some(room),
            seq: Some(seq),
            target: Target::Users(to),
            blind: false,
        }
    }

    /// Headers of a frame without seq (typing, read marks) for some users of one home.
    pub fn signal(room: RoomId, to: Vec<UserId>) -> Self {
        Self {
            room: Some(room),
            seq: None,
            target: Target::Users(to),
            blind: false,
        }
    }

    /// Headers of an answer to one session or request.
    pub fn answer(to: Address) -> Self {
        Self {
            room: None,
            seq: None,
            target: Target::Session(to),
            blind: false,
        }
    }

    /// As Kafka takes them.
    pub fn encode(&self) -> Vec<Header> {
        let mut headers: Vec<Header> = Vec::with_capacity(5);
        headers.push((header::V, Bytes::from_static(&[VERSION])));
        if let Some(room) = self.room {
            headers.push((
                header::ROOM,
                Bytes::copy_from_slice(&room.get().to_le_bytes()),
            ));
        }
        if let Some(seq) = self.seq {
            headers.push((
                header::SEQ,
                Bytes::copy_from_slice(&seq.get().to_le_bytes()),
            ));
        }
        match &self.target {
            Target::Users(users) => {
                let mut packed = Vec::with_capacity(users.len() * 8);
                for user in users {
                    packed.extend_from_slice(&user.get().to_le_bytes());
                }
                headers.push((header::TO, Bytes::from(packed)));
            }
            Target::Session(address) => {
                headers.push((header::SESSION, Bytes::copy_from_slice(address.as_bytes())));
            }
        }
        if self.blind {
            headers.push((header::BLIND, Bytes::from_static(&[1])));
        }
        headers
    }

    /// Reads headers, in whatever order; unknown ones are ignored.
    pub fn decode<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, RecordError> {
        let (mut version, mut room, mut seq, mut to, mut session) = (None, None, None, None, None);
        let mut blind = false;
        for (name, value) in headers {
            match name {
                header::V => version = Some(value),
                header::ROOM => room = Some(value),
                header::SEQ => seq = Some(value),
                header::TO => to = Some(value),
                header::SESSION => session = Some(value),
                header::BLIND => blind = true,
                _ => {}
            }
        }
        if version != Some(&[VERSION][..]) {
            return Err(RecordError::Version);
        }
        let room = room
            .map(|bytes| number(bytes).and_then(|n| RoomId::new(n).ok()))
            .map(|room| room.ok_or(RecordError::Malformed(header::ROOM)))
            .transpose()?;
        let seq = seq
            .map(|bytes| number(bytes).and_then(|n| Seq::new(n).ok()))
            .map(|seq| seq.ok_or(RecordError::Malformed(header::SEQ)))
            .transpose()?;
        let target = match (session, to) {
            (Some(bytes), _) => Target::Session(
                Address::from_slice(bytes).map_err(|_| RecordError::Malformed(header::SESSION))?,
            ),
            (None, Some(bytes)) => {
                Target::Users(users(bytes).ok_or(RecordError::Malformed(header::TO))?)
            }
            (None, None) => return Err(RecordError::NoTarget),
        };
        Ok(Self {
            room,
            seq,
            target,
            blind,
        })
    }
}

fn number(bytes: &[u8]) -> Option<i64> {
    bytes.try_into().ok().map(i64::from_le_bytes)
}

fn users(bytes: &[u8]) -> Option<Vec<UserId>> {
    if !bytes.len().is_multiple_of(8) {
        return None;
    }
    bytes
        .chunks_exact(8)
        .map(|chunk| number(chunk).and_then(|n| UserId::new(n).ok()))
        .collect()
}

/// A value of `chat-signal`: things without a seq.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalRecord {
    /// Version of the encoding.
    pub v: u8,
    /// Where.
    pub room: RoomId,
    /// Who.
    pub sender: UserId,
    /// When the gateway took it, ms since 1970.
    pub at: i64,
    /// What.
    #[serde(flatten)]
    pub kind: SignalKind,
}

impl SignalRecord {
    /// Reads a value of `chat-signal`.
    pub fn decode(value: &[u8]) -> Result<Self, Invalid> {
        of_this_version(value, |signal: &Self| signal.v)
    }
}

/// What a signal says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SignalKind {
    /// Typing now.
    Typing,
    /// Read up to here.
    Read {
        /// Up to which.
        seq: Seq,
    },
}

/// Why a record went to `chat-dlq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DlqReason {
    /// Not a record of its topic's form.
    Undecodable,
    /// Its version is not understood.
    UnknownVersion,
    /// Its key is not its room.
    WrongKey,
    /// Its room belongs to another lane.
    WrongLane,
    /// Its content can't be stored.
    BadData,
    /// What is stored of its room can't be read.
    Unreadable,
    /// Made by the classifier, and refused by Kafka for good.
    Undeliverable,
    /// A push that the webhook refused, or did not take in time.
    GivenUp,
}

impl DlqReason {
    /// Every reason.
    pub const ALL: &'static [Self] = &[
        Self::Undecodable,
        Self::UnknownVersion,
        Self::WrongKey,
        Self::WrongLane,
        Self::BadData,
        Self::Unreadable,
        Self::Undeliverable,
        Self::GivenUp,
    ];

    /// As it stands in the header; also the label of its metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::UnknownVersion => "unknown_version",
            Self::WrongKey => "wrong_key",
            Self::WrongLane => "wrong_lane",
            Self::BadData => "bad_data",
            Self::Unreadable => "unreadable",
            Self::Undeliverable => "undeliverable",
            Self::GivenUp => "given_up",
        }
    }
}
