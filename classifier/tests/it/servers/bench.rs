//! A cluster without gateways: the test produces commands itself, and plays the gateways.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use classifier::operator::{self, LaneLine};
use classifier::push::PushSettings;
use classifier::settings::Settings;
use protocol::{
    Command, CommandKind, DlqReason, Home, Origin, PushRecord, RoomId, RoomKind, Seq, ServerFrame,
    SignalKind, SignalRecord, UserId, VERSION, header, lane_of,
};
use routing::{Markers, Redis, RedisSettings, Route, RouteTable};
use service::kafka::{
    Consumer, Feed, FeedError, Incoming, KafkaSettings, Outgoing, Placed, Producer, Topics,
};
use service::settings::AdminSettings;
use service::trace::TraceSettings;
use stack::{Cluster, ClusterOptions, Space, Stack};
use store::{Page, RoomKey, Store, StoreSettings};
use uuid::Uuid;

use super::gateways::{Gateways, ORIGIN};

const LANES: i32 = 2;
pub(super) const HOMES: i32 = 4;
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

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
        store: StoreSettings {
            // A machine that has much to do must not look like a Postgres that does not answer.
            statement_timeout: PATIENCE,
            lock_timeout: PATIENCE,
            ..StoreSettings::new(space.postgres_url())
        },
        redis: RedisSettings::new(space.redis_url(), space.key_prefix()),
        admin: AdminSettings {
            listen: ([127, 0, 0, 1], 0).into(),
        },
        push: no_push(),
        trace: TraceSettings::default(),
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
    let mut markers = Markers::new(&redis);
    let (table, all) = (RouteTable::new(&redis), (1..=256).map(user));
    let all: Vec<UserId> = all.collect();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    // It may not answer in time: those that it did not set then it is asked for again.
    while let Some(failure) = markers.look().await.failure {
        assert!(tokio::time::Instant::now() < deadline, "{failure:?}");
    }
    loop {
        let found = table.fresh(&all).await;
        if found.unknown.is_empty() {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Writes a route until that is acknowledged: Redis may not answer in time, and a route may be written again.
pub(crate) async fn write(routes: &RouteTable, user: UserId, route: &Route) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while let Err(error) = routes.write(user, "device", route).await {
        assert!(tokio::time::Instant::now() < deadline, "{error:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The next record of a partition; none by the end of the time. Trouble that passes is none.
pub(crate) async fn next(feed: &mut Feed, end: tokio::time::Instant) -> Option<Incoming> {
    loop {
        match tokio::time::timeout_at(end, feed.recv()).await.ok()? {
            Ok(record) => return Some(record),
            Err(FeedError::Other(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

pub(super) struct Bench {
    pub(super) cluster: Cluster,
    topics: Topics,
    producer: Producer,
    consumer: Consumer,
    pub(super) gateways: Gateways,
    store: Store,
    space: Space,
}

/// What is wrong is often in the log.
impl Drop for Bench {
    #[expect(clippy::print_stderr, reason = "a test that fails tells what it knows")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = self.cluster.classifiers().map(|one| one.log_tail());
            logs.for_each(|log| eprintln!("{log}"));
        }
    }
}

impl Bench {
    pub(super) async fn start(classifiers: usize) -> Self {
        let space = Stack::shared().await.unwrap().space().await.unwrap();
        Self::start_in(space, classifiers, Vec::new()).await
    }

    /// With these settings besides.
    pub(super) async fn start_in(
        space: Space,
        classifiers: usize,
        env: Vec<(String, String)>,
    ) -> Self {
        let options = ClusterOptions {
            was: 0,
            classifiers,
            lanes: LANES,
            homes: HOMES,
            env,
            ..ClusterOptions::default()
        };
        let redis = settings(&space).redis;
        let (cluster, ()) = tokio::join!(Cluster::start(&space, options), believed(&redis));
        let cluster = cluster.unwrap();
        let kafka = KafkaSettings::plain(space.kafka_brokers(), space.topic_prefix());
        let topics = kafka.topics();
        let consumer = Consumer::start(&kafka, "bench", "bench").unwrap();
        Self {
            producer: Producer::start(&kafka, "bench", PATIENCE).unwrap(),
            gateways: Gateways::start(&consumer, &topics, &redis),
            consumer,
            store: Store::connect(&settings(&space).store).await.unwrap(),
            cluster,
            topics,
            space,
        }
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

    /// The lanes, once nothing is behind and each has an owner: a busy machine may be late with a renewal.
    pub(super) async fn caught_up(&self) -> Vec<LaneLine> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let lanes = operator::lanes(&self.settings()).await.unwrap();
            let well = |line: &LaneLine| line.behind == 0 && !line.lease_left.is_zero();
            if lanes.iter().all(well) {
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
        let deadline = tokio::time::Instant::now() + PATIENCE;
        // The group is new, and may have no coordinator yet.
        while let Err(error) = consumer.commit(topic, &[(home, next)]).await {
            assert!(tokio::time::Instant::now() < deadline, "{error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
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

    async fn create(&mut self, room: RoomId, creator: i64, members: &[i64]) {
        let kind = CommandKind::Create {
            room_kind: RoomKind::Group,
            name: "g".into(),
            members: members.iter().map(|n| user(*n)).collect(),
        };
        let command = self.command(room, creator, kind).await;
        match self.gateways.answer(command.id).await {
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

    /// Pushes of one user, once there are `n`: one may come twice. None is for anybody else, but to look where they are: of
    /// whom a busy machine does not tell in time, nothing is known.
    pub(super) async fn pushes_of(&self, user: UserId, n: usize) -> Vec<PushRecord> {
        let mut pushes = BTreeMap::new();
        let enough = |record: &Incoming| {
            let push: PushRecord =
                serde_json::from_slice(record.payload.as_deref().unwrap()).unwrap();
            if push.user == user {
                pushes.insert(push.seq, push);
            } else {
                assert!(push.check, "{push:?}");
            }
            pushes.len() >= n
        };
        self.read_until(self.topics.push(), 12, enough).await;
        pushes.into_values().collect()
    }

    /// The reasons of `n` dead letters; each names where it came from. What is buried again, as it was not acknowledged, is
    /// the same one.
    pub(super) async fn dead_letters(&self, n: usize) -> Vec<String> {
        let mut letters = BTreeMap::new();
        let enough = |record: &Incoming| {
            let header = |name| String::from_utf8(record.header(name).unwrap().to_vec()).unwrap();
            assert_eq!(header("origin_topic"), **self.topics.send());
            let offset: i64 = header("origin_offset").parse().unwrap();
            let partition: i32 = header("origin_partition").parse().unwrap();
            letters.insert((partition, offset), header("reason"));
            letters.len() >= n
        };
        self.read_until(self.topics.dlq(), 3, enough).await;
        letters.into_values().collect()
    }

    /// Reads all partitions of a topic until it is enough.
    async fn read_until(
        &self,
        topic: &str,
        partitions: i32,
        mut enough: impl FnMut(&Incoming) -> bool,
    ) {
        let mut feeds: Vec<Feed> = (0..partitions)
            .map(|p| self.consumer.add(topic, p, 0).unwrap())
            .collect();
        let mut read = 0;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            for feed in &mut feeds {
                let now = tokio::time::Instant::now();
                while let Some(record) = next(feed, now).await {
                    read += 1;
                    if enough(&record) {
                        return;
                    }
                }
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{read} of {topic} are too few"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
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

    /// Who owns each lane. Only looked at: who says that it lives has a share.
    pub(super) async fn owners(&self) -> Vec<Option<String>> {
        let table = self.store.lane_table().await.unwrap();
        table.lanes.into_iter().map(|row| row.owner).collect()
    }
}
