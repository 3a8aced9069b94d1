//! Identifiers. Each is a type of its own, so that a user can't be passed for a room.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The largest id and seq: the largest integer that every JSON reader keeps exact (2^53 − 1).
pub const MAX_ID: i64 = (1 << 53) - 1;

/// The id that a client gave to a command. A retry carries the same one.
pub type MessageId = uuid::Uuid;

/// Where an answer goes on a home: a socket's session, or one REST request that waits.
pub type Address = uuid::Uuid;

/// Why a number or text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ids are integers from 1 to 9007199254740991")]
pub struct IdError;

macro_rules! positive_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "i64", into = "i64")]
        pub struct $name(i64);

        impl $name {
            /// An id from a number that may come from anywhere.
            pub const fn new(value: i64) -> Result<Self, IdError> {
                if value >= 1 && value <= MAX_ID { Ok(Self(value)) } else { Err(IdError) }
            }

            /// The number, as Postgres and JSON have it.
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl TryFrom<i64> for $name {
            type Error = IdError;
            fn try_from(value: i64) -> Result<Self, IdError> {
                Self::new(value)
            }
        }

        impl From<$name> for i64 {
            fn from(id: $name) -> i64 {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                text.parse::<i64>().map_err(|_| IdError).and_then(Self::new)
            }
        }
    };
}

positive_id!(
    /// A user.
    UserId
);
positive_id!(
    /// A room; also, in ASCII decimal, the key of its records in Kafka.
    RoomId
);

/// A message's number in its room: 1, 2, 3, …; 0 stands before the first.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "i64", into = "i64")]
pub struct Seq(i64);

impl Seq {
    /// Before the first message: the head of an empty room.
    pub const ZERO: Self = Self(0);

    /// A seq from a number that may come from anywhere; 0 is allowed as a cursor.
    pub const fn new(value: i64) -> Result<Self, IdError> {
        if value >= 0 && value <= MAX_ID {
            Ok(Self(value))
        } else {
            Err(IdError)
        }
    }

    /// The number.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The one before this; zero has none before it.
    #[must_use]
    pub const fn previous(self) -> Self {
        if self.0 == 0 { self } else { Self(self.0 - 1) }
    }
}

impl TryFrom<i64> for Seq {
    type Error = IdError;
    fn try_from(value: i64) -> Result<Self, IdError> {
        Self::new(value)
    }
}

impl From<Seq> for i64 {
    fn from(seq: Seq) -> i64 {
        seq.0
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The partition of `chat-receive` that every gateway reads: for users of whom it is not known where
/// they are.
pub const BROADCAST: i32 = 0;

/// A partition of `chat-receive` that one gateway owns. Homes begin after [`BROADCAST`], at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Home(pub i32);

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A partition of `chat-send` (and the same one of `chat-signal`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lane(pub i32);

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
