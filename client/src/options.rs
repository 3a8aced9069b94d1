//! How a client connects.

use std::{collections::BTreeMap, time::Duration};

use protocol::{RoomId, Seq};

/// What a client is made of. [`Options::new`] gives defaults that suit a bot.
#[derive(Clone)]
pub struct Options {
    /// Gateways, as `http://host:port` or `ws://host:port`; the first is tried first, the next after a failure.
    pub urls: Vec<String>,
    /// Who this is; sent in the first frame, never in a URL.
    pub token: String,
    /// A stable id of this device: a second client with the same one closes the first.
    pub device: String,
    /// The last number seen in each room. With none, every room begins at its head; else a room that is not named is
    /// one that the user was added to since, and is shown since the joining: name all or none. [`Seq::ZERO`] asks for a
    /// room from its beginning.
    pub cursors: BTreeMap<RoomId, Seq>,
    /// Events that wait for their owner before the socket is left unread.
    pub events: usize,
    /// Commands that wait for their answer before [`crate::Client::send`] refuses.
    pub outbox: usize,
    /// An unanswered command is sent again after this.
    pub resend_after: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a server that is connected to may be silent before it greets: it may be reading what was missed, for
    /// many at once. Pings count as a sign of life.
    pub greeting_timeout: Duration,
    /// The first window of the jitter.
    pub backoff: Duration,
    /// Its widest window.
    pub backoff_cap: Duration,
    /// A connection that lasted this long was good: its loss is answered at once.
    pub stable_after: Duration,
}

impl Options {
    /// Defaults for one device.
    #[must_use]
    pub fn new(urls: Vec<String>, token: impl Into<String>, device: impl Into<String>) -> Self {
        Self {
            urls,
            token: token.into(),
            device: device.into(),
            cursors: BTreeMap::new(),
            events: 256,
            outbox: 1_000,
            resend_after: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            greeting_timeout: Duration::from_secs(30),
            backoff: Duration::from_millis(100),
            backoff_cap: Duration::from_secs(10),
            stable_after: Duration::from_secs(1),
        }
    }
}

/// The token is a secret: it is not shown.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("urls", &self.urls)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}
