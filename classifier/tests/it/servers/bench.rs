//! A cluster without gateways: the test produces commands itself, and plays the gateways.

use std::time::Duration;

use bytes::Bytes;
use classifier::operator::{self, LaneLine};
use classifier::push::PushSettings;
use classifier::settings::Settings;
use protocol::{
    Command, CommandKind, DlqReason, Home, Origin, PushRecord, RoomId, RoomKind, Seq, ServerFrame,
    SignalKind, SignalRecord, UserId, VERSION, header, lane_of,
};
use routing::{Markers, Redis, RedisSettings, RouteTable};
use service::kafka::{Consumer, Feed, Incoming, KafkaSettings, Outgoing, Placed, Producer, Topics};
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
        store: StoreSettings::new(space.postgres_url()),
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
    let looked = Markers::new(&redis).look().await;
    assert!(looked.failure.is_none(), "{looked:?}");
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
            store: Store::connect(&StoreSettings::new(space.postgres_url()))
                .await
                .unwrap(),
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

    /// Pushes of one user, once there are `n`; none is for anybody else, but to look where they are: of whom a busy machine
    /// does not tell in time, nothing is known.
    pub(super) async fn pushes_of(&self, user: UserId, n: usize) -> Vec<PushRecord> {
        let mut more = 0;
        loop {
            let records = self.all_of(self.topics.push(), 12, n + more).await;
            let decoded = records
                .iter()
                .map(|record| serde_json::from_slice(record.payload.as_deref().unwrap()).unwrap());
            let all: Vec<PushRecord> = decoded.collect();
            let (mut pushes, others): (Vec<_>, Vec<_>) =
                all.into_iter().partition(|push| push.user == user);
            assert!(others.iter().all(|push| push.check), "{others:?}");
            if pushes.len() >= n {
                pushes.sort_by_key(|push| push.seq);
                return pushes;
            }
            more = others.len();
        }
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
