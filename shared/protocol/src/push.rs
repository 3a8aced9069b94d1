//! Records of `chat-push`: somebody may have to be told of a message.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{RoomId, Seq, UserId};

/// A record is a few ids: what is larger was not made here.
const MAX_BYTES: usize = 64 * 1024;

/// A value of `chat-push`; its key is the user. It says which message, and not what is in it: that is
/// read when the user is told, as it may be edited or deleted until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushRecord {
    /// Who was not connected.
    pub user: UserId,
    /// Where.
    pub room: RoomId,
    /// Which.
    pub seq: Seq,
    /// Whether the user was connected could not be known: look before pushing. The push worker does
    /// so for each record; here it says why there is one.
    #[serde(default)]
    pub check: bool,
}

impl PushRecord {
    /// A user without a route.
    pub fn absent(user: UserId, room: RoomId, seq: Seq) -> Self {
        Self {
            user,
            room,
            seq,
            check: false,
        }
    }

    /// A user of whom it is not known whether anybody delivers to them.
    pub fn check(user: UserId, room: RoomId, seq: Seq) -> Self {
        Self {
            check: true,
            ..Self::absent(user, room, seq)
        }
    }

    /// The key that it goes under: what one user is told stays in order.
    pub fn key(&self) -> Bytes {
        Bytes::from(self.user.to_string())
    }

    /// As Kafka takes it.
    pub fn encode(&self) -> Bytes {
        // Texts and numbers only: nothing that JSON can't write.
        Bytes::from(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads a record; none if it is not one, or not under its user's key.
    pub fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Option<Self> {
        let value = value.filter(|bytes| bytes.len() <= MAX_BYTES)?;
        let record: Self = serde_json::from_slice(value).ok()?;
        (key == Some(record.user.to_string().as_bytes())).then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> PushRecord {
        let (user, room) = (UserId::new(3).unwrap(), RoomId::new(7).unwrap());
        PushRecord::check(user, room, Seq::new(4).unwrap())
    }

    fn decode(key: &str, value: &str) -> Option<PushRecord> {
        PushRecord::decode(Some(key.as_bytes()), Some(value.as_bytes()))
    }

    #[test]
    fn a_record_is_written_and_read_back() {
        let check = record();
        let absent = PushRecord::absent(check.user, check.room, check.seq);
        for (record, json) in [
            (check, r#"{"user":3,"room":7,"seq":4,"check":true}"#),
            (absent, r#"{"user":3,"room":7,"seq":4,"check":false}"#),
        ] {
            assert_eq!(record.encode(), json);
            assert_eq!(decode("3", json), Some(record));
        }
    }

    /// Records once had the text, too: it is passed over.
    #[test]
    fn what_else_a_record_says_is_passed_over() {
        let json = r#"{"user":3,"room":7,"seq":4,"check":true,"sender":1,"preview":"hi","at":5}"#;
        assert_eq!(decode("3", json), Some(record()));
    }

    /// I11: whoever wrote it, it is read or it is none.
    #[test]
    fn what_is_no_record_is_none() {
        let json = r#"{"user":3,"room":7,"seq":4}"#;
        assert!(decode("3", json).is_some());
        assert!(PushRecord::decode(None, Some(json.as_bytes())).is_none());
        assert!(PushRecord::decode(Some(b"3"), None).is_none());
        assert!(decode("4", json).is_none());
        assert!(decode("3", r#"{"user":3,"room":7}"#).is_none());
        assert!(decode("3", r#"{"user":3,"room":-7,"seq":4}"#).is_none());
        let mut large = json.to_owned();
        large.insert_str(1, &" ".repeat(MAX_BYTES));
        assert!(decode("3", &large).is_none());
    }
}
