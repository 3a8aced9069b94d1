//! Kafka and Redis, played: logs in memory whose acknowledgements fail when the test says so.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use classifier::ports::{
    Ack, Feed, Incoming, Lanes, LogError, Outgoing, Publish, PublishError, Routes, RoutesError,
    Sink, Source, Whereabouts,
};
use protocol::{Command, Home, Lane, UserId};
use tokio::sync::Notify;

#[derive(Default)]
struct Logs {
    lanes: HashMap<(Source, Lane), Vec<Incoming>>,
    sent: Vec<Outgoing>,
    topic_id: String,
    /// So many sends are not acknowledged; `usize::MAX`: none ever is.
    lost_sends: usize,
    /// So many records find no room.
    full_sends: usize,
    /// Records for this sink are refused for good.
    refused: Option<Sink>,
    /// So many look-ups fail; `usize::MAX`: all.
    lost_lookups: usize,
    /// Of these nothing is known: their shard is new.
    unknown: HashSet<UserId>,
    /// What is asked of this lane is never answered: it has no leader.
    leaderless: Option<Lane>,
    /// No commit of offsets is ever answered: the group has no coordinator.
    commits_hang: bool,
    commits: usize,
}

/// All of it; clones share it.
#[derive(Clone, Default)]
pub(super) struct Kafka {
    logs: Arc<Mutex<Logs>>,
    more: Arc<Notify>,
}

impl Kafka {
    fn logs(&self) -> MutexGuard<'_, Logs> {
        self.logs.lock().unwrap()
    }

    pub(super) fn produce(&self, lane: i32, command: &Command) -> i64 {
        self.produce_raw(lane, &command.key(), &command.encode())
    }

    pub(super) fn produce_raw(&self, lane: i32, key: &str, payload: &[u8]) -> i64 {
        self.append((Source::Commands, Lane(lane)), key, payload)
    }

    pub(super) fn produce_signal(&self, lane: i32, payload: &[u8]) {
        self.append((Source::Signals, Lane(lane)), "", payload);
    }

    fn append(&self, to: (Source, Lane), key: &str, payload: &[u8]) -> i64 {
        let mut logs = self.logs();
        let log = logs.lanes.entry(to).or_default();
        let offset = i64::try_from(log.len()).unwrap();
        log.push(Incoming {
            offset,
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            payload: Some(Bytes::copy_from_slice(payload)),
            trace: None,
        });
        drop(logs);
        self.more.notify_waiters();
        offset
    }

    /// The topic is made anew: empty, with another id.
    pub(super) fn remake_topic(&self, id: &str) {
        let mut logs = self.logs();
        logs.lanes.clear();
        id.clone_into(&mut logs.topic_id);
    }

    pub(super) fn lose_sends(&self, n: usize) {
        self.logs().lost_sends = n;
    }

    pub(super) fn fill_up(&self, n: usize) {
        self.logs().full_sends = n;
    }

    pub(super) fn refuse(&self, sink: Sink) {
        self.logs().refused = Some(sink);
    }

    pub(super) fn lose_leader(&self, lane: i32) {
        self.logs().leaderless = Some(Lane(lane));
    }

    pub(super) fn lose_coordinator(&self) {
        self.logs().commits_hang = true;
    }

    /// Commits of offsets that were asked for.
    pub(super) fn commits(&self) -> usize {
        self.logs().commits
    }

    pub(super) fn lose_lookups(&self, n: usize) {
        self.logs().lost_lookups = n;
    }

    pub(super) fn know_nothing_of(&self, users: &[UserId]) {
        self.logs().unknown = users.iter().copied().collect();
    }

    pub(super) fn sent_to(&self, sink: Sink) -> Vec<Outgoing> {
        let logs = self.logs();
        let sent = logs.sent.iter().filter(|record| record.sink == sink);
        sent.cloned().collect()
    }

    /// What was sent so far is forgotten.
    pub(super) fn forget_sent(&self) {
        self.logs().sent.clear();
    }
}

pub(super) struct PlayedFeed {
    kafka: Kafka,
    lane: (Source, Lane),
    next: usize,
}

impl Feed for PlayedFeed {
    async fn recv(&mut self) -> Result<Incoming, LogError> {
        let more = Arc::clone(&self.kafka.more);
        loop {
            let waiting = more.notified();
            tokio::pin!(waiting);
            waiting.as_mut().enable();
            if let Some(record) = self.try_recv()? {
                return Ok(record);
            }
            waiting.await;
        }
    }

    fn try_recv(&mut self) -> Result<Option<Incoming>, LogError> {
        let logs = self.kafka.logs();
        let record = logs
            .lanes
            .get(&self.lane)
            .and_then(|log| log.get(self.next))
            .cloned();
        drop(logs);
        self.next += usize::from(record.is_some());
        Ok(record)
    }
}

impl Lanes for Kafka {
    type Feed = PlayedFeed;

    async fn topic_id(&self) -> Result<String, LogError> {
        Ok(self.logs().topic_id.clone())
    }

    async fn bounds(&self, source: Source, lane: Lane) -> Result<(i64, i64), LogError> {
        if self.logs().leaderless == Some(lane) {
            std::future::pending::<()>().await;
        }
        let logs = self.logs();
        let length = logs.lanes.get(&(source, lane)).map_or(0, Vec::len);
        Ok((0, i64::try_from(length).unwrap()))
    }

    async fn ends(&self, lanes: &[Lane]) -> Result<Vec<(Lane, i64)>, LogError> {
        let logs = self.logs();
        let ends = lanes.iter().map(|lane| {
            let log = logs.lanes.get(&(Source::Commands, *lane));
            (*lane, i64::try_from(log.map_or(0, Vec::len)).unwrap())
        });
        Ok(ends.collect())
    }

    async fn add(&self, source: Source, lane: Lane, start: i64) -> Result<PlayedFeed, LogError> {
        Ok(PlayedFeed {
            kafka: self.clone(),
            lane: (source, lane),
            next: usize::try_from(start).unwrap(),
        })
    }

    async fn committed(&self, _: Source, _: Lane) -> Result<Option<i64>, LogError> {
        Ok(None)
    }

    async fn commit(&self, _: Source, _: &[(Lane, i64)]) -> Result<(), LogError> {
        let hangs = {
            let mut logs = self.logs();
            logs.commits += 1;
            logs.commits_hang
        };
        match hangs {
            true => std::future::pending().await,
            false => Ok(()),
        }
    }
}

impl Publish for Kafka {
    fn publish(&self, record: &Outgoing) -> Result<Ack, PublishError> {
        let mut logs = self.logs();
        if logs.refused == Some(record.sink) {
            return Err(PublishError::Refused("played: too large".to_owned()));
        }
        if logs.full_sends > 0 {
            logs.full_sends -= 1;
            return Err(PublishError::Full);
        }
        let acknowledged = logs.lost_sends == 0;
        if acknowledged {
            logs.sent.push(record.clone());
        } else if logs.lost_sends != usize::MAX {
            logs.lost_sends -= 1;
        }
        Ok(Box::pin(async move {
            match acknowledged {
                true => Ok(()),
                false => Err(PublishError::Unknown("played: not acknowledged".to_owned())),
            }
        }))
    }
}

/// User n is on home n; from 100 on, nowhere; 98 and 99 on homes that do not exist.
impl Routes for Kafka {
    async fn homes(&self, users: &[UserId]) -> Whereabouts {
        let mut logs = self.logs();
        if logs.lost_lookups > 0 {
            logs.lost_lookups -= usize::from(logs.lost_lookups != usize::MAX);
            return Whereabouts {
                failure: Some(RoutesError("played: unreachable".to_owned())),
                ..Whereabouts::default()
            };
        }
        let known = users.iter().filter(|user| !logs.unknown.contains(user));
        let known = known.map(|user| {
            let homes = match user.get() {
                98 => vec![Home(-1)],
                99 => vec![Home(9_999)],
                100.. => Vec::new(),
                n => vec![Home(i32::try_from(n).unwrap())],
            };
            (*user, homes)
        });
        Whereabouts {
            known: known.collect(),
            failure: None,
        }
    }
}
