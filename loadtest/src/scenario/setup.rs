//! Users and rooms.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context;
use client::{DevToken, Rest, RestError};
use protocol::{MessageId, RoomId, RoomKind, UserId};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{Part, Scenario, Session, room::Room};
use crate::oracle::{Ledger, Recipient};

/// Calls under way at once.
const AT_ONCE: usize = 32;
/// For how long a call is repeated that a gateway can't answer now, and how often.
const WITHIN: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(50);

/// A name for a user, first of all as in every example.
fn name(index: usize, nonce: &str) -> String {
    const FIRST: [&str; 5] = ["ann", "bob", "cleo", "dan", "eve"];
    match FIRST.get(index) {
        Some(name) => format!("{name}-{nonce}"),
        None => format!("user{index}-{nonce}"),
    }
}

impl Scenario {
    /// Signs up `count` more users with one session each.
    ///
    /// # Errors
    /// When a gateway gives no token.
    pub async fn users(&mut self, count: usize) -> anyhow::Result<()> {
        let (from, to) = (self.sessions.len(), self.sessions.len() + count);
        let gate = Arc::new(Semaphore::new(AT_ONCE));
        let mut calls = JoinSet::new();
        for index in from..to {
            let (gate, rest, name) = (
                Arc::clone(&gate),
                self.rest_of(index)?,
                name(index, &self.nonce),
            );
            calls.spawn(async move {
                let _turn = gate.acquire().await?;
                let token = sign_up(&rest, &name)
                    .await
                    .with_context(|| format!("sign up {name}"))?;
                anyhow::Ok((index, name, token))
            });
        }
        let mut made = BTreeMap::new();
        while let Some(call) = calls.join_next().await {
            let (index, name, token) = call??;
            made.insert(
                index,
                session(name, token.user, token.token, "device".to_owned()),
            );
        }
        self.sessions.extend(made.into_values());
        Ok(())
    }

    /// Signs up `count` more users who are never connected, and returns their indices. The oracle expects nothing of them
    /// in the rooms that name them; what they have to be told of is in [`Scenario::to_push`].
    ///
    /// # Errors
    /// When a gateway gives no token.
    pub(crate) async fn absent(&mut self, count: usize) -> anyhow::Result<Vec<usize>> {
        self.users_for(count, Part::Absent).await
    }

    /// The same who are connected and send nothing, until [`Scenario::vanish`].
    ///
    /// # Errors
    /// When a gateway gives no token.
    pub(crate) async fn leaving(&mut self, count: usize) -> anyhow::Result<Vec<usize>> {
        self.users_for(count, Part::Leaves).await
    }

    async fn users_for(&mut self, count: usize, part: Part) -> anyhow::Result<Vec<usize>> {
        let from = self.sessions.len();
        self.users(count).await?;
        for session in &mut self.sessions[from..] {
            session.part = part;
        }
        Ok((from..self.sessions.len()).collect())
    }

    /// A further device of the user of `session`; returns its index. Rooms made from now on may name it.
    ///
    /// # Panics
    /// When there is no such session.
    pub fn device(&mut self, of: usize) -> usize {
        let first = &self.sessions[of];
        let device = format!("device{}", self.sessions.len());
        let another = session(first.name.clone(), first.user, first.token.clone(), device);
        self.sessions.push(another);
        self.sessions.len() - 1
    }

    /// Makes a room, by its first member: a direct one of two users, else a group. Returns its index.
    ///
    /// # Errors
    /// When the servers refuse it.
    pub async fn room(&mut self, members: &[usize]) -> anyhow::Result<usize> {
        self.rooms_of(vec![members.to_vec()]).await?;
        Ok(self.rooms.len() - 1)
    }

    /// Makes many rooms side by side.
    ///
    /// # Errors
    /// When the servers refuse one.
    pub async fn rooms_of(&mut self, rooms: Vec<Vec<usize>>) -> anyhow::Result<()> {
        let gate = Arc::new(Semaphore::new(AT_ONCE));
        let mut calls = JoinSet::new();
        for (number, members) in rooms.into_iter().enumerate() {
            let creator = *members.first().context("a room needs members")?;
            let mut users: Vec<UserId> = members
                .iter()
                .map(|index| self.sessions[*index].user)
                .collect();
            users.dedup();
            let rest = self
                .rest_of(creator)?
                .with_token(&self.sessions[creator].token);
            let gate = Arc::clone(&gate);
            let name = format!("room {number} {}", self.nonce);
            calls.spawn(async move {
                let _turn = gate.acquire().await?;
                let room = create(&rest, &name, &users)
                    .await
                    .with_context(|| format!("create {name}"))?;
                anyhow::Ok((number, room, members))
            });
        }
        let mut made = BTreeMap::new();
        while let Some(call) = calls.join_next().await {
            let (number, id, members) = call??;
            made.insert(number, (id, members));
        }
        for (id, members) in made.into_values() {
            self.add_room(id, &members);
        }
        Ok(())
    }

    fn add_room(&mut self, id: RoomId, members: &[usize]) {
        let of = |part: Part| -> Vec<usize> {
            let theirs = members.iter().copied();
            theirs
                .filter(|index| self.sessions[*index].part == part)
                .collect()
        };
        let (absent, leaving) = (of(Part::Absent), of(Part::Leaves));
        let (members, mut heard) = (of(Part::Stays), of(Part::Stays));
        heard.extend(&leaving);
        for index in &heard {
            self.sessions[*index].rooms.push(self.rooms.len());
        }
        let recipients: Vec<_> = heard.iter().map(|index| recipient(*index)).collect();
        let ledger = Mutex::new(Ledger::new(format!("room {id}"), &recipients));
        let room = Arc::new(Room {
            id,
            members,
            leaving,
            absent,
            ledger,
        });
        self.by_id.add(Arc::clone(&room));
        self.rooms.push(room);
    }

    fn rest_of(&self, index: usize) -> anyhow::Result<Rest> {
        let count = self.rest.len();
        anyhow::ensure!(count > 0, "no gateway to talk to");
        Ok(self.rest[index % count].clone())
    }
}

fn session(name: String, user: UserId, token: String, device: String) -> Session {
    let (status, sent) = (Arc::default(), Arc::default());
    Session {
        name,
        user,
        token,
        device,
        rooms: Vec::new(),
        client: None,
        cursors: BTreeMap::new(),
        status,
        sent,
        part: Part::Stays,
    }
}

#[cfg(test)]
impl Scenario {
    /// A user in a room, without servers.
    pub(super) fn of_one_who_is_away() -> Self {
        let mut scenario = Self::new(Vec::new());
        let user = UserId::new(1).expect("an id");
        let (name, token) = (name(0, ""), String::new());
        scenario
            .sessions
            .push(session(name, user, token, "device".to_owned()));
        scenario.add_room(RoomId::new(1).expect("an id"), &[0]);
        scenario
    }
}

/// A session's number in the ledgers.
pub(super) fn recipient(index: usize) -> Recipient {
    Recipient(u32::try_from(index).unwrap_or(u32::MAX))
}

/// By its name, whoever asks: asked again, it is the same user.
async fn sign_up(rest: &Rest, name: &str) -> Result<DevToken, RestError> {
    let deadline = Instant::now() + WITHIN;
    loop {
        match rest.dev_token(name).await {
            Err(error) if error.status() == Some(503) && Instant::now() < deadline => {
                sleep(AGAIN).await;
            }
            answered => return answered,
        }
    }
}

async fn create(rest: &Rest, name: &str, users: &[UserId]) -> anyhow::Result<RoomId> {
    let (kind, name) = if users.len() == 2 {
        (RoomKind::Direct, "")
    } else {
        (RoomKind::Group, name)
    };
    // One key for all attempts: whatever became of those before, it is one room.
    let (key, deadline) = (MessageId::now_v7(), Instant::now() + WITHIN);
    loop {
        match rest.create_room(kind, name, users, key).await {
            Ok(room) => return Ok(room),
            Err(error) if error.status() == Some(503) && Instant::now() < deadline => {
                sleep(AGAIN).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
