//! Times and bounds that every session of a gateway shares.

use std::time::Duration;

use protocol::Limits;

/// Times and bounds of sessions.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The gateway's name, as `welcome` tells it.
    pub was: String,
    /// How long a socket may be open without a `hello`.
    pub greet_within: Duration,
    /// A ping goes out at least this often, each 10 s while something is unconfirmed; two that are not
    /// answered when the next is due close the socket.
    pub ping_every: Duration,
    /// When, after the route was acknowledged, the settling query is asked: the bound of the
    /// route cache and a margin (I4).
    pub settle_after: Duration,
    /// The shortest time between two audits.
    pub audit_least: Duration,
    /// The longest time between two audits.
    pub audit_most: Duration,
    /// How long to wait before a failed query is asked again.
    pub retry_after: Duration,
    /// The most live frames held while a query is under way.
    pub held_frames: usize,
    /// The most bytes of them.
    pub held_bytes: usize,
    /// The most rooms in `hello.cursors`.
    pub cursors: usize,
    /// Malformed frames above this close the socket; each good one forgives one.
    pub errors: u16,
    /// What `welcome` tells about limits.
    pub limits: Limits,
}

impl Rules {
    /// How long a client may take for one message, from its first byte to its last: what has come of it
    /// is kept meanwhile. Who sends one frame for longer than this answers no ping either.
    pub fn whole_within(&self) -> Duration {
        2 * self.ping_every
    }
}
