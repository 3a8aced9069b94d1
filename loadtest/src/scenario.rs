//! Users on gateways, rooms among them, messages at a rate, and a verdict: what load runs and system tests are made of.
//!
//! ```no_run
//! # async fn example(urls: Vec<String>) -> anyhow::Result<()> {
//! use std::time::Duration;
//! use loadtest::{Paced, Scenario};
//!
//! let mut scenario = Scenario::new(urls);
//! scenario.users(5).await?;                       // ann, bob, … by index; each has one session, not yet connected
//! scenario.room(&[0, 1, 2, 3, 4]).await?;         // a group; two members make a direct room
//! scenario.connect(0, 0).await?;                  // session 0 on gateway 0
//! scenario.connect_all().await?;                  // the others, round robin
//! scenario.say(0, 0, "hello")?;                   // session 0 in room 0
//! scenario.send(&Paced { rate: 200.0, lasting: Duration::from_secs(5), ..Paced::default() }).await;
//! let verdict = scenario.settle(Duration::from_secs(20)).await;
//! assert!(verdict.is_good(), "{}", scenario.explain(&verdict));
//! # Ok(()) }
//! ```

mod connecting;
mod gauge;
mod listener;
mod paced;
mod room;
mod setup;
mod trace;
mod verdict;

use std::sync::Arc;

use client::{Client, Rest};
use protocol::UserId;

pub use gauge::Gauge;
pub(crate) use gauge::lock;
pub use paced::Paced;
pub use room::Room;
pub(crate) use trace::Delivery;

use listener::{Sent, Status};
use room::Rooms;

/// Users, sessions and rooms of one test or run.
pub struct Scenario {
    urls: Vec<String>,
    rest: Vec<Rest>,
    sessions: Vec<Session>,
    rooms: Vec<Arc<Room>>,
    by_id: Arc<Rooms>,
    gauge: Arc<Gauge>,
    /// Part of all names, so that scenarios on the same servers don't meet.
    nonce: String,
}

/// One session of one user: a device.
pub struct Session {
    name: String,
    user: UserId,
    token: String,
    device: String,
    rooms: Vec<usize>,
    client: Option<Client>,
    /// What the client before had seen.
    cursors: std::collections::BTreeMap<protocol::RoomId, protocol::Seq>,
    status: Arc<Status>,
    sent: Arc<Sent>,
    part: Part,
}

/// What a session is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// It sends and receives, whatever happens.
    Stays,
    /// It receives, and is gone for good one day.
    Leaves,
    /// It is never connected.
    Absent,
}

impl Scenario {
    /// On these gateways, `http://host:port` each.
    #[must_use]
    pub fn new(urls: Vec<String>) -> Self {
        let rest = urls.iter().map(Rest::new).collect();
        let nonce = format!("{:08x}", rand::random::<u32>());
        let (by_id, gauge) = (Arc::default(), Arc::default());
        Self {
            urls,
            rest,
            sessions: Vec::new(),
            rooms: Vec::new(),
            by_id,
            gauge,
            nonce,
        }
    }

    /// What all connections count together.
    #[must_use]
    pub fn gauge(&self) -> &Gauge {
        &self.gauge
    }

    pub(crate) fn shared_gauge(&self) -> Arc<Gauge> {
        Arc::clone(&self.gauge)
    }

    /// How many sessions there are.
    #[must_use]
    pub const fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// All sessions that stay, by index.
    pub(crate) fn staying(&self) -> Vec<usize> {
        let stays = |index: &usize| self.sessions[*index].part == Part::Stays;
        (0..self.sessions.len()).filter(stays).collect()
    }

    /// All rooms.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = &Room> {
        self.rooms.iter().map(|room| &**room)
    }

    /// The sessions that a gateway greeted last and that are still connected to it, by index.
    #[must_use]
    pub fn sessions_on(&self, was: &str) -> Vec<usize> {
        let there = |index: &usize| self.sessions[*index].was().as_deref() == Some(was);
        (0..self.sessions.len()).filter(there).collect()
    }

    /// A session.
    ///
    /// # Panics
    /// When there is none with that index.
    #[must_use]
    pub fn session(&self, index: usize) -> &Session {
        &self.sessions[index]
    }

    /// A room, with its id and its ledger.
    ///
    /// # Panics
    /// When there is none with that index.
    #[must_use]
    pub fn room_at(&self, index: usize) -> &Room {
        &self.rooms[index]
    }

    /// The REST API of a gateway, as the user of a session.
    ///
    /// # Panics
    /// When there is no such session or gateway.
    #[must_use]
    pub fn rest(&self, session: usize, was: usize) -> Rest {
        self.rest[was].with_token(&self.sessions[session].token)
    }
}

impl Session {
    /// The user's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The user's id.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// The user's token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Its client, once connected.
    #[must_use]
    pub const fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    /// The gateway that greeted it last, while the connection stands.
    #[must_use]
    pub fn was(&self) -> Option<String> {
        lock(&self.status.place).was.clone()
    }
}
