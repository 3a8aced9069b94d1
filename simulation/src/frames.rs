//! What a client reads out of frames.

use bytes::Bytes;
use protocol::{MessageId, RoomId, Seq, UserId};
use serde::Deserialize;

use crate::truth::Seen;

/// The fields of `message` and `event`.
#[derive(Debug, Deserialize)]
pub struct Entry {
    r#type: String,
    room: RoomId,
    seq: Seq,
    id: MessageId,
    /// Who did it.
    pub from: UserId,
}

impl Entry {
    /// What it tells.
    pub const fn seen(&self) -> Seen {
        Seen {
            room: self.room,
            seq: self.seq,
            id: self.id,
        }
    }
}

/// The frame as an entry of a room's log, if it is one.
pub fn entry(frame: &Bytes) -> Option<Entry> {
    let entry: Entry = serde_json::from_slice(frame).ok()?;
    matches!(entry.r#type.as_str(), "message" | "event").then_some(entry)
}

/// What an entry tells.
pub fn seen(frame: &Bytes) -> Option<Seen> {
    Some(entry(frame)?.seen())
}
