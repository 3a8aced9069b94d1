//! Gateways played by a test: it writes their users' routes and reads their homes, and what is for all gateways: there is
//! what the classifier sent while a busy machine kept it from an answer about routes.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use protocol::{BROADCAST, DeliveryHeaders, Home, MessageId, RoomId, ServerFrame, Target, UserId};
use routing::{Redis, RedisSettings, Route, RouteTable};
use serde_json::Value;
use service::kafka::{Consumer, Feed, Topics};
use uuid::Uuid;

use super::bench::{HOMES, PATIENCE, next, write};

/// The home that answers come back on.
pub(super) const ORIGIN: i32 = 3;

#[derive(Default)]
struct Seen {
    /// Frames of events, in the order of the home's partition.
    events: HashMap<RoomId, Vec<(i64, Value)>>,
    /// Some came with what is for all gateways: sessions put both into order.
    by_two_ways: bool,
}

/// One for each home.
pub(super) struct Gateways {
    homes: HashMap<i32, Feed>,
    /// What every gateway reads.
    everywhere: Feed,
    /// Where each user is connected.
    connected: Mutex<HashMap<UserId, i32>>,
    seen: HashMap<i32, Seen>,
    answers: HashMap<MessageId, ServerFrame>,
    /// Frames without a seq, by home.
    signals: Vec<(i32, ServerFrame)>,
    routes: RouteTable,
}

impl Gateways {
    pub(super) fn start(consumer: &Consumer, topics: &Topics, redis: &RedisSettings) -> Self {
        let homes = (1..=HOMES)
            .map(|home| (home, consumer.add(topics.receive(), home, 0).unwrap()))
            .collect();
        let everywhere = consumer.add(topics.receive(), BROADCAST, 0).unwrap();
        Self {
            homes,
            everywhere,
            connected: Mutex::default(),
            seen: HashMap::new(),
            answers: HashMap::new(),
            signals: Vec::new(),
            routes: RouteTable::new(&Redis::connect(redis).unwrap()),
        }
    }

    pub(super) async fn connect(&self, user: UserId, home: i32) {
        let route = Route {
            home: Home(home),
            incarnation: 1,
            session: Uuid::new_v4(),
        };
        self.connected.lock().unwrap().insert(user, home);
        write(&self.routes, user, &route).await;
    }

    /// The next frame without a seq on a home.
    pub(super) async fn signalled(&mut self, home: i32) -> ServerFrame {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(n) = self.signals.iter().position(|(on, _)| *on == home) {
                return self.signals.remove(n).1;
            }
            self.read(home, deadline, "a signal").await;
        }
    }

    /// The answer to a command.
    pub(super) async fn answer(&mut self, id: MessageId) -> ServerFrame {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(frame) = self.answers.remove(&id) {
                return frame;
            }
            self.read(ORIGIN, deadline, "an answer").await;
        }
    }

    /// Reads a home until this event of a room is there.
    pub(super) async fn until_seq(&mut self, home: i32, room: RoomId, seq: i64) {
        let there = self.has_seq(home, room, seq, PATIENCE).await;
        assert!(there, "seq {seq} of room {room} on home {home}");
    }

    /// Whether this event of a room, or a later one, comes to a home in so long.
    pub(super) async fn has_seq(
        &mut self,
        home: i32,
        room: RoomId,
        seq: i64,
        within: Duration,
    ) -> bool {
        let last = |me: &Self| {
            let events = me.seen.get(&home)?.events.get(&room)?;
            events.last().map(|(seq, _)| *seq)
        };
        let deadline = tokio::time::Instant::now() + within;
        while last(self).is_none_or(|last| last < seq) {
            if !self.one(home, deadline).await {
                return false;
            }
        }
        true
    }

    /// The newest event that is there of each of these rooms, of the one that is furthest behind.
    pub(super) fn newest(&self, home: i32, rooms: [RoomId; 2]) -> i64 {
        let seen = self.seen.get(&home);
        let newest = |room| {
            let events = seen?.events.get(room)?;
            events.last().map(|(seq, _)| *seq)
        };
        rooms.iter().filter_map(newest).min().unwrap_or(0)
    }

    /// The seqs of a room's first `n` events on a home, in the order of the partition, repeats left
    /// out as a session leaves them out.
    pub(super) async fn events(&mut self, home: i32, room: RoomId, n: usize) -> Vec<i64> {
        self.distinct(home, room, n)
            .await
            .into_iter()
            .map(|(seq, _)| seq)
            .collect()
    }

    /// Their frames.
    pub(super) async fn frames(&mut self, home: i32, room: RoomId, n: usize) -> Vec<Value> {
        self.distinct(home, room, n)
            .await
            .into_iter()
            .map(|(_, frame)| frame)
            .collect()
    }

    async fn distinct(&mut self, home: i32, room: RoomId, n: usize) -> Vec<(i64, Value)> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let seen = self.seen.entry(home).or_default();
            let by_two_ways = seen.by_two_ways;
            let seen = seen.events.entry(room).or_default();
            let mut known = HashSet::new();
            let mut distinct: Vec<(i64, Value)> = seen
                .iter()
                .filter(|(seq, _)| known.insert(*seq))
                .cloned()
                .collect();
            if by_two_ways {
                distinct.sort_by_key(|(seq, _)| *seq);
            }
            if distinct.len() >= n {
                return distinct;
            }
            let state = format!("{n} events of room {room}, {} are there", distinct.len());
            self.read(home, deadline, &state).await;
        }
    }

    /// Nothing is on a home beside what was read; of that anything may come again.
    pub(super) async fn nothing_more(&mut self, home: i32) {
        // What came after it in the lane has been answered and read: nothing is under way.
        let end = tokio::time::Instant::now() + Duration::from_millis(500);
        let feed = self.homes.get_mut(&home).unwrap();
        let events = &self.seen.entry(home).or_default().events;
        while let Some(record) = next(feed, end).await {
            let headers = DeliveryHeaders::decode(record.header_slices()).unwrap();
            let event = headers.room.zip(headers.seq);
            let known = event.and_then(|(room, seq)| {
                let mut events = events.get(&room)?.iter();
                events.find(|(known, _)| *known == seq.get())
            });
            assert!(known.is_some(), "{record:?}");
        }
    }

    async fn read(&mut self, home: i32, deadline: tokio::time::Instant, what: &str) {
        let there = self.one(home, deadline).await;
        assert!(there, "waited on home {home} for {what}");
    }

    /// Takes the next record of a home, or one for all of them; whether there was one in time.
    async fn one(&mut self, home: i32, deadline: tokio::time::Instant) -> bool {
        let feed = self.homes.get_mut(&home).unwrap();
        let (mut homes, record) = tokio::select! {
            record = next(feed, deadline) => (vec![home], record),
            record = next(&mut self.everywhere, deadline) => (Vec::new(), record),
        };
        let Some(record) = record else {
            return false;
        };
        let headers = DeliveryHeaders::decode(record.header_slices()).unwrap();
        if let (true, Target::Users(users)) = (homes.is_empty(), &headers.target) {
            let connected = self.connected.lock().unwrap();
            let theirs: HashSet<i32> = users
                .iter()
                .filter_map(|user| connected.get(user).copied())
                .collect();
            homes.extend(theirs);
            for home in &homes {
                self.seen.entry(*home).or_default().by_two_ways = true;
            }
        }
        for home in homes {
            self.keep(home, &headers, record.payload.clone());
        }
        true
    }

    fn keep(&mut self, home: i32, headers: &DeliveryHeaders, payload: Option<Bytes>) {
        let payload = payload.unwrap_or_default();
        match &headers.target {
            Target::Session(_) => {
                let frame: ServerFrame = serde_json::from_slice(&payload).unwrap();
                let (ServerFrame::Stored { id, .. } | ServerFrame::Rejected { id, .. }) = &frame
                else {
                    panic!("{frame:?}");
                };
                self.answers.insert(*id, frame);
            }
            Target::Users(_) if headers.seq.is_none() => {
                let frame = serde_json::from_slice(&payload).unwrap();
                self.signals.push((home, frame));
            }
            Target::Users(_) => {
                let room = headers.room.unwrap();
                let seq = headers.seq.unwrap().get();
                let frame: Value = serde_json::from_slice(&payload).unwrap();
                assert_eq!(frame["seq"].as_i64(), Some(seq));
                let events = &mut self.seen.entry(home).or_default().events;
                events.entry(room).or_default().push((seq, frame));
            }
        }
    }
}
