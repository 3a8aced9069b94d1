//! Limits that both ends of a socket or a record know.

use serde::{Deserialize, Serialize};

/// The largest frame a client may send, in bytes (1.25 MiB: a body of 400,000 bytes survives
/// JSON's worst escaping of what it may hold).
pub const MAX_FRAME_BYTES: usize = 1_310_720;

/// The most recipients in one `chat-receive` record; more go into further records.
pub const MAX_RECIPIENTS_PER_RECORD: usize = 50_000;

/// What `welcome` tells a client about limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Characters in a body.
    pub body_chars: usize,
    /// Bytes of UTF-8 in a body.
    pub body_bytes: usize,
    /// Bytes in a frame.
    pub frame_bytes: usize,
    /// Commands a second that a user may send for long.
    pub rate_per_second: u32,
    /// Commands that a user may send at once.
    pub rate_burst: u32,
    /// The most messages replayed in one room; more is a `gap`.
    pub replay_room: i64,
    /// The most messages replayed in all.
    pub replay_total: i64,
}
