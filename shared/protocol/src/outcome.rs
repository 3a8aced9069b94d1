//! Every code that a client can meet, in one place, each with what the client should do.

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant,)+ }

        impl $name {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The code as it stands in a frame; also the label of its metric.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

codes! {
    /// Why a command was not carried out (`rejected`).
    RejectCode {
        /// Unknown whether it was carried out: resend with the same id.
        Unavailable = "unavailable",
        /// Slower: resend after `retry_after_ms`.
        RateLimited = "rate_limited",
        /// The body or a field can't be taken; correct it.
        Invalid = "invalid",
        /// The sender is no member of the room (or there is no such room: both look alike).
        NotMember = "not_member",
        /// The sender's role does not allow it.
        Forbidden = "forbidden",
        /// The room was deleted.
        RoomDeleted = "room_deleted",
        /// The message to edit or delete is not there, or was deleted.
        NoSuchMessage = "no_such_message",
        /// The user to add is a member already.
        AlreadyMember = "already_member",
        /// The user named is not a member.
        NoSuchMember = "no_such_member",
        /// The room has as many members as it may.
        RoomFull = "room_full",
        /// A direct room can't be changed that way.
        DirectRoom = "direct_room",
    }
}

codes! {
    /// What was wrong with a frame (`error`); the session goes on.
    ErrorCode {
        /// Not JSON, no object, or a field of the wrong form.
        Malformed = "malformed",
        /// A `type` that the server does not know.
        UnknownType = "unknown_type",
        /// Known, not served yet.
        NotAvailable = "not_available",
        /// A second `hello`.
        AlreadyGreeted = "already_greeted",
    }
}

/// Why a socket is closed by the server. 4000–4999 are for applications (RFC 6455 §7.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// The server stops or hands over: reconnect after `bye.retry_after_ms`.
    GoingAway,
    /// Not as RFC 6455 has it: correct the client.
    ProtocolError,
    /// A binary frame: correct the client.
    Unsupported,
    /// Not UTF-8: correct the client.
    NotUtf8,
    /// A frame over the limit: correct the client.
    TooBig,
    /// Something failed in the server: reconnect.
    Internal,
    /// A store can't be reached: reconnect with jitter.
    TryAgainLater,
    /// The first frame was not a `hello`: correct the client.
    HelloExpected,
    /// No `hello` in time: reconnect and greet at once.
    HelloTimeout,
    /// The token is wrong: get another.
    Unauthorized,
    /// The token has expired: get another.
    TokenExpired,
    /// Another session of the same device took over: do not reconnect by itself.
    Replaced,
    /// The socket took its frames too slowly, or sent one so: reconnect, then catch up.
    TooSlow,
    /// No pong in time: reconnect.
    HeartbeatLost,
    /// Far too many malformed frames: correct the client.
    TooManyErrors,
    /// The user has as many sessions as one may have: end another one first.
    TooManySessions,
}

impl CloseCode {
    /// Every code.
    pub const ALL: &'static [Self] = &[
        Self::GoingAway,
        Self::ProtocolError,
        Self::Unsupported,
        Self::NotUtf8,
        Self::TooBig,
        Self::Internal,
        Self::TryAgainLater,
        Self::HelloExpected,
        Self::HelloTimeout,
        Self::Unauthorized,
        Self::TokenExpired,
        Self::Replaced,
        Self::TooSlow,
        Self::HeartbeatLost,
        Self::TooManyErrors,
        Self::TooManySessions,
    ];

    /// Number, reason, and whether a client should reconnect by itself.
    const fn row(self) -> (u16, &'static str, bool) {
        match self {
            Self::GoingAway => (1001, "going_away", true),
            Self::ProtocolError => (1002, "protocol_error", false),
            Self::Unsupported => (1003, "text_frames_only", false),
            Self::NotUtf8 => (1007, "not_utf8", false),
            Self::TooBig => (1009, "frame_too_big", false),
            Self::Internal => (1011, "internal", true),
            Self::TryAgainLater => (1013, "try_again_later", true),
            Self::HelloExpected => (4000, "hello_expected", false),
            Self::HelloTimeout => (4001, "hello_timeout", true),
            Self::Unauthorized => (4002, "unauthorized", false),
            Self::TokenExpired => (4003, "token_expired", false),
            Self::Replaced => (4004, "replaced", false),
            Self::TooSlow => (4005, "too_slow", true),
            Self::HeartbeatLost => (4006, "heartbeat_lost", true),
            Self::TooManyErrors => (4007, "too_many_errors", false),
            Self::TooManySessions => (4008, "too_many_sessions", false),
        }
    }

    /// The number on the wire.
    pub const fn code(self) -> u16 {
        self.row().0
    }

    /// The reason on the wire; also the label of its metric.
    pub const fn reason(self) -> &'static str {
        self.row().1
    }

    /// Whether a client should reconnect by itself.
    pub const fn reconnects(self) -> bool {
        self.row().2
    }

    /// The code of a number.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|c| c.code() == code)
    }
}
