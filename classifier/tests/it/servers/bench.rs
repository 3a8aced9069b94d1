//! A cluster without gateways: the test produces commands and reads homes itself.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use classifier::operator::{self, LaneLine};
use classifier::push::PushSettings;
use classifier::settings::Settings;
use protocol::{
    Command, CommandKind, DeliveryHeaders, DlqReason, Home, MessageId, Origin, PushRecord, RoomId,
    RoomKind, Seq, ServerFrame, SignalKind, SignalRecord, Target, UserId, VERSION, header, lane_of,
};
use routing::{Markers, Redis, RedisSettings, Route, RouteTable};
use serde_json::Value;
use service::kafka::{Consumer, Feed, Incoming, KafkaSettings, Outgoing, Placed, Producer, Topics};
use service::settings::AdminSettings;
use stack::{Cluster, ClusterOptions, Space, Stack};
use store::{Page, RoomKey, Store, StoreSettings};
use uuid::Uuid;

const LANES: i32 = 2;
const HOMES: i32 = 4;
/// The home that answers come back on.
const ORIGIN: i32 = 3;
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn user(n: i64) -> UserId {
    UserId::new(n).unwrap()
}

/// The settings of a classifier that works in this space.
pub(crate) fn settings(space: &Space) -> Settings {
    Settings {
        name: "test".into(),
        workers: 1,
        drain: Duration::from_secs(1),
        group_limit: 100,
        lanes: LANES,
        homes: usize::try_from(HOMES).unwrap(),
        replication: 1,
        min_insync: 1,
        kafka: KafkaSettings::plain(space.kafka_brokers(), space.topic_prefix()),
        store: StoreSettings::new(space.postgres_url()),
        redis: RedisSettings {
            url: space.redis_url().to_owned(),
            key_prefix: space.key_prefix(),
        },
        admin: AdminSettings {
            listen: ([127, 0, 0, 1], 0).into(),
        },
        push: no_push(),
    }
}

/// Nobody is told anything.
fn no_push() -> PushSettings {
    let second = Duration::from_secs(1);
    PushSettings {
        webhook: None,
        fcm: None,
        wait: second,
        timeout: second,
        give_up: second,
        concurrency: 1,
        queue: 1,
        batch: 1,
    }
}

/// Waits until look-ups are answered: where no gateway has ever been, the shards of routes are new, and
/// nothing is believed of them for a while.
pub(crate) async fn believed(redis: &RedisSettings) {
    let redis = Redis::connect(redis).unwrap();
    Markers::new(&redis).look().await.unwrap();
    let (table, all) = (RouteTable::new(&redis), (1..=256).map(user));
    let all: Vec<UserId> = all.collect();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let found = table.fresh(&all).await;
        if found.unknown.is_empty() {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[derive(Default)]
struct Seen {
    /// Frames of events, in the order of the home's partition.
    events: HashMap<RoomId, Vec<(i64, Value)>>,
}

pub(super) struct Bench {
    pub(super) cluster: Cluster,
    topics: Topics,
    producer: Producer,
    consumer: Consumer,
    homes: HashMap<i32, Feed>,
    seen: HashMap<i32, Seen>,
    answers: HashMap<MessageId, ServerFrame>,
    /// Frames without a seq, by home.
    signals: Vec<(i32, ServerFrame)>,
    store: Store,
    routes: RouteTable,
    space: Space,
}

impl Bench {
    pub(super) async fn start(classifiers: usize) -> Self {
        let space = Stack::shared().await.unwrap().space().await.unwrap();
        let options = ClusterOptions {
            was: 0,
            classifiers,
            lanes: LANES,
            homes: HOMES,
            ..ClusterOptions::default()
        };
        let redis = settings(&space).redis;
        let (cluster, ()) = tokio::join!(Cluster::start(&space, options), believed(&redis));
        let cluster = cluster.unwrap();
        let kafka = KafkaSettings::plain(space.kafka_brokers(), space.topic_prefix());
        let topics = kafka.topics();
        let consumer = Consumer::start(&kafka, "bench", "bench").unwrap();
        let homes = (1..=HOMES)
            .map(|home| (home, consumer.add(topics.receive(), home, 0).unwrap()))
            .collect();
        Self {
            producer: Producer::start(&kafka, "bench", Duration::from_secs(5)).unwrap(),
            consumer,
            homes,
            seen: HashMap::new(),
            answers: HashMap::new(),
            signals: Vec::new(),
            store: Store::connect(&StoreSettings::new(space.postgres_url()))
                .await
                .unwrap(),
            routes: RouteTable::new(&Redis::connect(&redis).unwrap()),
            cluster,
            topics,
            space,
        }
    }

    pub(super) async fn connect(&self, user: UserId, home: i32) {
        let route = Route {
            home: Home(home),
            incarnation: 1,
            session: Uuid::new_v4(),
        };
        self.routes.write(user, "device", &route).await.unwrap();
    }

    pub(super) fn settings(&self) -> Settings {
        settings(&self.space)
    }

    /// What its processes have in their environment.
    pub(super) fn env(&self) -> Vec<(String, String)> {
        let mut env = self.space.env();
        env.push(("SWITCHBOARD_LANES".into(), LANES.to_string()));
        env.push(("SWITCHBOARD_HOMES".into(), HOMES.to_string()));
        env
    }

    /// The lanes, once nothing is behind.
    pub(super) async fn caught_up(&self) -> Vec<LaneLine> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let lanes = operator::lanes(&self.settings()).await.unwrap();
            if lanes.iter().all(|line| line.behind == 0) {
                return lanes;
            }
            assert!(tokio::time::Instant::now() < deadline, "{lanes:?}");
        }
    }

    /// Commits for a home as its gateway does.
    pub(super) async fn commit_home(&self, home: i32, next: i64) {
        let settings = self.settings();
        let consumer = Consumer::start(&settings.kafka, "was", "gateway").unwrap();
        let topic = self.topics.receive();
        consumer.commit(topic, &[(home, next)]).await.unwrap();
    }

    /// Puts a letter into `chat-dlq` that was made, not read.
    pub(super) async fn letter_without_origin(&self) -> Placed {
        let reason = DlqReason::Undeliverable.as_str();
        let record = Outgoing {
            headers: vec![(header::REASON, Bytes::from(reason))],
            payload: Some(Bytes::from_static(b"{}")),
            ..Outgoing::to(self.topics.dlq())
        };
        self.producer.send(&record).unwrap().await.unwrap()
    }

    pub(super) async fn reserve(&self) -> RoomId {
        let key = RoomKey::Created(user(1), Uuid::new_v4());
        self.store.reserve_room(key).await.unwrap()
    }

    pub(super) fn lane(&self, room: RoomId) -> i32 {
        lane_of(room, LANES).0
    }

    pub(super) fn make(&self, room: RoomId, sender: i64, kind: CommandKind) -> Command {
        Command {
            v: VERSION,
            room,
            sender: user(sender),
            id: Uuid::new_v4(),
            retry: false,
            at: 1_700_000_000_000,
            origin: Some(Origin {
                home: Home(ORIGIN),
                session: Uuid::new_v4(),
            }),
            kind,
        }
    }

    pub(super) async fn command(&self, room: RoomId, sender: i64, kind: CommandKind) -> Command {
        let command = self.make(room, sender, kind);
        self.send(&command).await;
        command
    }

    pub(super) async fn send(&self, command: &Command) {
        self.raw(self.lane(command.room), command.room, &command.encode())
            .await;
    }

    pub(super) async fn raw(&self, lane: i32, key: RoomId, payload: &[u8]) {
        let record = Outgoing {
            partition: Some(lane),
            key: Some(Bytes::from(key.to_string())),
            payload: Some(Bytes::copy_from_slice(payload)),
            ..Outgoing::to(self.topics.send())
        };
        self.producer.send(&record).unwrap().await.unwrap();
    }

    /// Produces a signal as a gateway does.
    pub(super) async fn signal(&self, room: RoomId, sender: i64, at: i64, kind: SignalKind) {
        let signal = SignalRecord {
            v: VERSION,
            room,
            sender: user(sender),
            at,
            kind,
        };
        let record = Outgoing {
            partition: Some(self.lane(room)),
            key: Some(Bytes::from(room.to_string())),
            payload: Some(Bytes::from(serde_json::to_vec(&signal).unwrap())),
            ..Outgoing::to(self.topics.signal())
        };
        self.producer.send(&record).unwrap().await.unwrap();
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

    async fn create(&mut self, room: RoomId, creator: i64, members: &[i64]) {
        let kind = CommandKind::Create {
            room_kind: RoomKind::Group,
            name: "g".into(),
            members: members.iter().map(|n| user(*n)).collect(),
        };
        let command = self.command(room, creator, kind).await;
        match self.answer(command.id).await {
            ServerFrame::Stored { seq, .. } => assert_eq!(seq, Seq::ZERO.next()),
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn create_group(&mut self, creator: i64, members: &[i64]) -> RoomId {
        let room = self.reserve().await;
        self.create(room, creator, members).await;
        room
    }

    pub(super) async fn create_group_in_lane(&mut self, lane: i32) -> RoomId {
        loop {
            let room = self.reserve().await;
            if self.lane(room) == lane {
                self.create(room, 1, &[]).await;
                return room;
            }
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
        let last = |bench: &Self| {
            let events = bench.seen.get(&home)?.events.get(&room)?;
            events.last().map(|(seq, _)| *seq)
        };
        let deadline = tokio::time::Instant::now() + within;
        while last(self).is_none_or(|last| last < seq) {
            let feed = self.homes.get_mut(&home).unwrap();
            let record = tokio::time::timeout_at(deadline, feed.recv()).await;
            let Ok(record) = record else { return false };
            self.keep(home, record.unwrap());
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
            let seen = self
                .seen
                .entry(home)
                .or_default()
                .events
                .entry(room)
                .or_default();
            let mut known = HashSet::new();
            let distinct: Vec<(i64, Value)> = seen
                .iter()
                .filter(|(seq, _)| known.insert(*seq))
                .cloned()
                .collect();
            if distinct.len() >= n {
                return distinct;
            }
            let state = format!("{n} events of room {room}, {} are there", distinct.len());
            self.read(home, deadline, &state).await;
        }
    }

    /// Nothing is on a home beside what was read.
    pub(super) async fn nothing_more(&mut self, home: i32) {
        // What came after it in the lane has been answered and read: nothing is under way.
        let feed = self.homes.get_mut(&home).unwrap();
        let more = tokio::time::timeout(Duration::from_millis(500), feed.recv()).await;
        assert!(more.is_err(), "{more:?}");
    }

    async fn read(&mut self, home: i32, deadline: tokio::time::Instant, what: &str) {
        let feed = self.homes.get_mut(&home).unwrap();
        let record = tokio::time::timeout_at(deadline, feed.recv()).await;
        let Ok(record) = record else {
            let log = self.cluster.classifier(0).log_tail();
            panic!("waited on home {home} for {what}\n{log}");
        };
        self.keep(home, record.unwrap());
    }

    fn keep(&mut self, home: i32, record: Incoming) {
        let headers = DeliveryHeaders::decode(record.header_slices()).unwrap();
        let payload = record.payload.unwrap_or_default();
        match headers.target {
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

    pub(super) async fn pushes(&self, n: usize) -> Vec<PushRecord> {
        let records = self.all_of(self.topics.push(), 12, n).await;
        let decoded = records
            .iter()
            .map(|record| serde_json::from_slice(record.payload.as_deref().unwrap()).unwrap());
        let mut pushes: Vec<PushRecord> = decoded.collect();
        pushes.sort_by_key(|push| (push.user, push.seq));
        pushes
    }

    /// The reasons of `n` dead letters; each names where it came from.
    pub(super) async fn dead_letters(&self, n: usize) -> Vec<String> {
        let records = self.all_of(self.topics.dlq(), 3, n).await;
        let header = |record: &Incoming, name| {
            String::from_utf8(record.header(name).unwrap().to_vec()).unwrap()
        };
        records
            .iter()
            .map(|record| {
                assert_eq!(header(record, "origin_topic"), **self.topics.send());
                header(record, "origin_offset").parse::<i64>().unwrap();
                header(record, "origin_partition").parse::<i32>().unwrap();
                header(record, "reason")
            })
            .collect()
    }

    async fn all_of(&self, topic: &str, partitions: i32, n: usize) -> Vec<Incoming> {
        let mut feeds: Vec<Feed> = (0..partitions)
            .map(|p| self.consumer.add(topic, p, 0).unwrap())
            .collect();
        let mut records = Vec::new();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while records.len() < n {
            for feed in &mut feeds {
                while let Some(record) = feed.try_recv().unwrap() {
                    records.push(record);
                }
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{} of {n}",
                records.len()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        records
    }

    pub(super) async fn stored_seqs(&self, user: UserId, room: RoomId) -> Vec<i64> {
        let page = Page::After(Seq::ZERO);
        let history = self
            .store
            .history(user, room, page, 1_000)
            .await
            .unwrap()
            .unwrap();
        history.events.iter().map(|event| event.seq.get()).collect()
    }

    /// Who owns each lane.
    pub(super) async fn owners(&self) -> Vec<Option<String>> {
        let table = self
            .store
            .heartbeat("bench", Duration::from_millis(1), &[])
            .await
            .unwrap();
        table.lanes.into_iter().map(|row| row.owner).collect()
    }
}
