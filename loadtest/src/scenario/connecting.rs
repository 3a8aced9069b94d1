//! Connecting, leaving, and waiting for either.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::{bail, ensure};
use client::{Client, Options};
use protocol::{RoomId, Seq};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    Part, Scenario, Session,
    gauge::lock,
    listener::{Listener, Place},
    setup::recipient,
};

/// How long a session may take to be greeted.
const GREETING: Duration = Duration::from_secs(60);
/// Connections under way at once.
const AT_ONCE: usize = 64;
/// Commands of one session that may wait for their answer: a run must not stop being open loop because of it.
const OUTBOX: usize = 20_000;

impl Scenario {
    /// Connects a session to a gateway; when that one is lost, it goes on to the others. Returns when greeted. What it
    /// missed since it left, or since its rooms were made, follows.
    ///
    /// # Errors
    /// When it is not greeted in time.
    pub async fn connect(&mut self, session: usize, was: usize) -> anyhow::Result<()> {
        let greetings = self.start(session, was);
        self.greeted(session, greetings).await
    }

    /// As [`Scenario::connect`], and that very gateway greets it: who had to go on to another one, because this one could
    /// not take it at once, begins anew.
    ///
    /// # Errors
    /// When that gateway does not greet it in time.
    pub async fn connect_to(&mut self, session: usize, was: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + GREETING;
        self.connect(session, was).await?;
        while !self.is_on(session, was) {
            ensure!(
                Instant::now() < deadline,
                "session {session} was not greeted by gateway {was} within {GREETING:?}"
            );
            self.leave(session).await;
            self.connect(session, was).await?;
        }
        Ok(())
    }

    fn is_on(&self, session: usize, was: usize) -> bool {
        let url = lock(&self.sessions[session].status.place).url.clone();
        url.as_ref() == self.urls.get(was % self.urls.len().max(1))
    }

    /// Connects all sessions that are not, round robin over the gateways; one that can't take its session at once leaves it
    /// to the others.
    ///
    /// # Errors
    /// When one is not greeted in time.
    pub async fn connect_all(&mut self) -> anyhow::Result<()> {
        self.connect_missing(|session| session).await.map(drop)
    }

    /// Connects all sessions that are not, each to the gateway that `was` names, round robin, as [`Scenario::connect_to`].
    pub(crate) async fn connect_by(&mut self, was: impl Fn(usize) -> usize) -> anyhow::Result<()> {
        for session in self.connect_missing(&was).await? {
            if !self.is_on(session, was(session)) {
                self.leave(session).await;
                self.connect_to(session, was(session)).await?;
            }
        }
        Ok(())
    }

    /// Returns whom it connected.
    async fn connect_missing(
        &mut self,
        was: impl Fn(usize) -> usize,
    ) -> anyhow::Result<Vec<usize>> {
        let missing: Vec<_> = (0..self.sessions.len())
            .filter(|index| self.sessions[*index].client.is_none())
            .filter(|index| self.sessions[*index].part != Part::Absent)
            .collect();
        for some in missing.chunks(AT_ONCE) {
            let started: Vec<_> = some
                .iter()
                .map(|index| (*index, self.start(*index, was(*index))))
                .collect();
            for (index, greetings) in started {
                self.greeted(index, greetings).await?;
            }
        }
        Ok(missing)
    }

    /// Ends a session's connection; what it has seen is kept for [`Scenario::connect`].
    pub async fn leave(&mut self, session: usize) {
        if let Some(client) = self.sessions[session].client.take() {
            client.close().await;
            self.sessions[session].cursors = client.cursors();
        }
    }

    /// The sessions that were to leave do, all at once and for good: their connections end, and none comes back.
    pub(crate) async fn vanish(&self) {
        let leaving = |session: &&Session| session.part == Part::Leaves;
        for session in self.sessions.iter().filter(leaving) {
            if let Some(client) = &session.client {
                // Told to end with the first look; that it has ended is not waited for.
                _ = timeout(Duration::ZERO, client.close()).await;
            }
        }
        for room in &self.rooms {
            for index in &room.leaving {
                lock(&room.ledger).left(recipient(*index));
            }
        }
    }

    /// Waits until every session that was connected is so again.
    ///
    /// # Errors
    /// At the deadline, naming those that are not.
    pub async fn all_connected(&self, within: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        for (index, session) in self
            .sessions
            .iter()
            .enumerate()
            .filter(|(_, session)| session.client.is_some())
        {
            loop {
                let changed = session.status.changed.notified();
                if session.was().is_some() {
                    break;
                }
                if timeout_at(deadline, changed).await.is_err() {
                    let words = lock(&session.status.place).last_words.clone();
                    bail!(
                        "session {index} ({}) is not connected after {within:?}: {words}",
                        session.name
                    );
                }
            }
        }
        Ok(())
    }

    /// Starts connecting; returns how often it had been greeted before.
    fn start(&mut self, index: usize, was: usize) -> u64 {
        let mut urls = self.urls.clone();
        urls.rotate_left(was % self.urls.len().max(1));
        let mut options = Options::new(
            urls,
            self.sessions[index].token.clone(),
            self.sessions[index].device.clone(),
        );
        options.cursors = self.cursors(index);
        options.outbox = OUTBOX;
        let session = &mut self.sessions[index];
        *lock(&session.status.place) = Place::default();
        let mut listener = Listener {
            index,
            recipient: recipient(index),
            rooms: Arc::clone(&self.by_id),
            gauge: Arc::clone(&self.gauge),
            status: Arc::clone(&session.status),
            sent: Arc::clone(&session.sent),
        };
        let greetings = session.status.greetings.load(Relaxed);
        session.client = Some(Client::with_handler(options, move |arrival| {
            listener.hear(arrival);
        }));
        greetings
    }

    /// What was seen, and for rooms of which nothing was seen yet their first entry: all messages come after it.
    fn cursors(&self, index: usize) -> std::collections::BTreeMap<RoomId, Seq> {
        let session = &self.sessions[index];
        let mut cursors = session.cursors.clone();
        for room in &session.rooms {
            cursors
                .entry(self.rooms[*room].id)
                .or_insert(Seq::ZERO.next());
        }
        cursors
    }

    async fn greeted(&self, index: usize, before: u64) -> anyhow::Result<()> {
        let deadline = Instant::now() + GREETING;
        let status = &self.sessions[index].status;
        loop {
            let changed = status.changed.notified();
            if status.greetings.load(Relaxed) > before {
                return Ok(());
            }
            if timeout_at(deadline, changed).await.is_err() {
                let words = lock(&status.place).last_words.clone();
                bail!("session {index} was not greeted within {GREETING:?}: {words}");
            }
        }
    }
}
