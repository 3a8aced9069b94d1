//! A `chat-push` of one test, its worker and its webhook.

use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use classifier::push::{self, FcmSettings, Means, PushMetrics, PushSettings, WebhookSettings};
use classifier::settings::Settings;
use protocol::{
    DeliveryHeaders, DeviceToken, Home, Platform, PushRecord, Seq, Target, UserId, header,
};
use routing::{Redis, Route, RouteTable};
use service::clock::Clock;
use service::kafka::{Admin, Consumer, Feed, Incoming, Outgoing, Producer, TopicSpec};
use service::lifecycle::Lifecycle;
use service::metrics::Metrics;
use service::settings::Secret;
use service::trace::Tracer;
use stack::{Space, Stack};
use store::Store;
use tokio::process::{Child, Command};
use uuid::Uuid;

use super::fcm::Fcm;
use super::hook::Hook;
use super::talk::Talk;
use crate::servers::{believed, next, settings, write};

pub(super) const SECRET: &str = "a secret that only the test knows, and long";
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// Nothing is given up in this time.
pub(super) const QUICK: Duration = Duration::from_secs(600);
/// Fewer than in earnest: partitions cost time to make.
const PARTITIONS: i32 = 4;
/// Nobody that runs.
const THIEF: &str = "thief";

pub(super) fn user(id: i64) -> UserId {
    UserId::new(id).unwrap()
}

pub(super) struct Bench {
    pub(super) hook: Hook,
    pub(super) fcm: Fcm,
    pub(super) store: Store,
    pub(super) talk: Talk,
    settings: Settings,
    producer: Producer,
    space: Space,
}

/// A worker of this process.
pub(super) struct Running {
    lifecycle: Lifecycle,
    metrics: PushMetrics,
}

impl Bench {
    /// A webhook, given up after so long; waits for nobody.
    pub(super) async fn new(give_up: Duration) -> Self {
        Self::waiting(give_up, Duration::ZERO).await
    }

    pub(super) async fn waiting(give_up: Duration, wait: Duration) -> Self {
        let space = Stack::shared().await.unwrap().space().await.unwrap();
        let redis = settings(&space).redis;
        let (bench, ()) = tokio::join!(Self::in_space(space, give_up, wait), believed(&redis));
        bench
    }

    /// FCM instead of a webhook.
    pub(super) async fn with_fcm(give_up: Duration) -> Self {
        let mut bench = Self::with_both(give_up).await;
        bench.settings.push.webhook = None;
        bench
    }

    pub(super) async fn with_both(give_up: Duration) -> Self {
        let mut bench = Self::new(give_up).await;
        bench.settings.push.fcm = Some(FcmSettings {
            credentials: bench.fcm.key_file(),
            url: format!("http://{}", bench.fcm.address).parse().unwrap(),
        });
        bench
    }

    /// A webhook that has some seconds to answer.
    pub(super) async fn impatient() -> Self {
        let mut bench = Self::new(QUICK).await;
        bench.settings.push.timeout = Duration::from_secs(5);
        bench
    }

    /// Where nobody has looked for routes yet: for a while nothing is known of anybody.
    pub(super) async fn unbelieved(give_up: Duration, wait: Duration) -> Self {
        let space = Stack::shared().await.unwrap().space().await.unwrap();
        Self::in_space(space, give_up, wait).await
    }

    async fn in_space(space: Space, give_up: Duration, wait: Duration) -> Self {
        let mut settings = settings(&space);
        let topics = settings.kafka.topics();
        let topic = |name: &str, partitions: i32| TopicSpec {
            name: name.to_owned(),
            partitions: usize::try_from(partitions).unwrap(),
            replication: 1,
            configs: Vec::new(),
        };
        let admin = Admin::connect(&settings.kafka, PATIENCE).unwrap();
        let specs = [
            topic(topics.push(), PARTITIONS),
            topic(topics.dlq(), 1),
            topic(topics.receive(), 2),
        ];
        admin.ensure_topics(&specs).await.unwrap();
        let store = Store::connect(&settings.store).await.unwrap();
        store.setup().await.unwrap();
        let hook = Hook::start().await;
        settings.push = PushSettings {
            webhook: Some(WebhookSettings {
                url: format!("http://{}/push", hook.address).parse().unwrap(),
                secret: Secret::new(SECRET),
            }),
            fcm: None,
            wait,
            // A machine that has much to do must not look like a webhook that does not answer.
            timeout: PATIENCE,
            give_up,
            concurrency: 4,
            queue: 100,
            batch: 50,
        };
        Self {
            hook,
            fcm: Fcm::start().await,
            talk: Talk::begin(&store).await,
            store,
            producer: Producer::start(&settings.kafka, "test", PATIENCE).unwrap(),
            settings,
            space,
        }
    }

    pub(super) async fn start(&self) -> Running {
        let lifecycle = Lifecycle::new(PATIENCE);
        let metrics = PushMetrics::new(&Metrics::new());
        let means = Means {
            store: self.store.clone(),
            metrics: metrics.clone(),
            tracer: Tracer::off(),
            clock: Clock::system(),
            ready: None,
        };
        let started = push::start(&lifecycle, &self.settings, means);
        started.await.unwrap();
        Running { lifecycle, metrics }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/push", self.hook.address)
    }

    /// `classifier push` with these settings of its webhook.
    pub(super) fn program(&self, webhook: &[(&str, &str)]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_classifier"));
        command.arg("push").envs(self.space.env());
        // Where nobody is: no proxy is used.
        for name in ["HTTP_PROXY", "http_proxy"] {
            command.env(name, "http://127.0.0.1:9");
        }
        command.env_remove("NO_PROXY").env_remove("no_proxy");
        for (name, value) in webhook {
            command.env(format!("SWITCHBOARD_PUSH_WEBHOOK_{name}"), value);
        }
        command.env("SWITCHBOARD_PUSH_WAIT", "0").kill_on_drop(true);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    pub(super) async fn connect(&self, user: UserId) {
        let routes = RouteTable::new(&Redis::connect(&self.settings.redis).unwrap());
        let route = Route {
            home: Home(1),
            incarnation: 1,
            session: Uuid::new_v4(),
        };
        write(&routes, user, &route).await;
    }

    /// Whether nothing is believed of a user, because where the routes are is new.
    pub(super) async fn is_unbelieved(&self, user: UserId) -> bool {
        let routes = RouteTable::new(&Redis::connect(&self.settings.redis).unwrap());
        let began = Instant::now();
        loop {
            let found = routes.fresh(&[user]).await;
            if found.failure.is_none() {
                return !found.unknown.is_empty();
            }
            assert!(began.elapsed() < PATIENCE, "{found:?}");
        }
    }

    /// Registers a device under this token.
    pub(super) async fn device(&self, user: UserId, platform: Platform, token: &str) {
        let token = DeviceToken::try_from(token.to_owned()).ok().unwrap();
        let id = self.store.register_device(user, platform, &token).await;
        assert!(id.unwrap().is_some());
    }

    /// Who of these the home is reminded of, and of which seq: `n` records of its partition.
    pub(super) async fn reminders(&self, home: Home, n: usize) -> Vec<(Vec<i64>, i64)> {
        let consumer = Consumer::start(&self.settings.kafka, "home", "test").unwrap();
        let topics = self.settings.kafka.topics();
        let mut feed = consumer.add(topics.receive(), home.0, 0).unwrap();
        let mut seen = Vec::new();
        while seen.len() < n {
            let record = next(&mut feed, tokio::time::Instant::now() + PATIENCE).await;
            let record = record.unwrap_or_else(|| panic!("{seen:?} of {n}"));
            assert_eq!(record.payload, None);
            let headers = DeliveryHeaders::decode(record.header_slices()).unwrap();
            assert!(!headers.blind);
            let Target::Users(users) = headers.target else {
                panic!("{headers:?}");
            };
            let users = users.into_iter().map(UserId::get).collect();
            seen.push((users, headers.seq.unwrap().get()));
        }
        seen
    }

    /// Puts a record for a user of whom nothing was known.
    pub(super) async fn put_check(&self, user: UserId, seq: i64) {
        let record = PushRecord::check(user, Talk::room(), Seq::new(seq).unwrap());
        self.raw(user, record.encode().to_vec()).await;
    }

    /// Puts records for a user, as the classifier does.
    pub(super) async fn put(&self, user: UserId, seqs: RangeInclusive<i64>) {
        for seq in seqs {
            let record = PushRecord::absent(user, Talk::room(), Seq::new(seq).unwrap());
            self.raw(user, record.encode().to_vec()).await;
        }
    }

    pub(super) async fn garbage(&self, user: UserId) {
        self.raw(user, b"\xffgarbage".to_vec()).await;
    }

    async fn raw(&self, user: UserId, payload: Vec<u8>) {
        let record = Outgoing {
            key: Some(Bytes::from(user.to_string())),
            payload: Some(payload.into()),
            ..Outgoing::to(self.settings.kafka.topics().push())
        };
        self.producer.send(&record).unwrap().await.unwrap();
    }

    pub(super) fn partitions(&self) -> Range<i32> {
        0..PARTITIONS
    }

    /// Takes a partition away from whoever reads it, for long.
    pub(super) async fn steal(&self, partition: i32) {
        let began = Instant::now();
        loop {
            let table = self.store.push_table().await.unwrap();
            let mut rows = table.partitions.into_iter();
            let row = rows.find(|row| row.partition == partition).unwrap();
            if let Some(owner) = row.owner {
                let released = self.store.push_release(&owner, partition, row.epoch);
                released.await.unwrap();
            }
            let claimed = self.store.push_claim(THIEF, partition, QUICK).await;
            if claimed.unwrap().is_some() {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{partition} was not to be had");
        }
    }

    /// Gives a stolen one back.
    pub(super) async fn give_back(&self, partition: i32) {
        let table = self.store.push_table().await.unwrap();
        let mut rows = table.partitions.into_iter();
        let row = rows.find(|row| row.partition == partition).unwrap();
        assert_eq!(row.owner.as_deref(), Some(THIEF));
        let released = self.store.push_release(THIEF, partition, row.epoch);
        released.await.unwrap();
    }

    /// Who reads partitions now.
    pub(super) async fn owners(&self) -> BTreeSet<String> {
        self.readers().await.into_iter().flatten().collect()
    }

    /// Who reads each partition now.
    async fn readers(&self) -> Vec<Option<String>> {
        let table = self.store.push_table().await.unwrap();
        let rows = table.partitions.into_iter();
        rows.map(|row| row.owner.filter(|_| !row.ttl_left.is_zero()))
            .collect()
    }

    /// Waits until so many processes share the partitions, and all partitions are read.
    pub(super) async fn until_owners(&self, n: usize) {
        let began = Instant::now();
        loop {
            let readers = self.readers().await;
            let owners: BTreeSet<_> = readers.iter().flatten().collect();
            if owners.len() == n && readers.iter().all(Option::is_some) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{readers:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// How many records the group has behind it, in all partitions.
    pub(super) async fn committed(&self) -> i64 {
        let consumer = Consumer::start(&self.settings.kafka, "push", "test").unwrap();
        let topics = self.settings.kafka.topics();
        let mut sum = 0;
        for partition in 0..PARTITIONS {
            let committed = consumer.committed(topics.push(), partition, PATIENCE).await;
            sum += committed.unwrap().unwrap_or(0);
        }
        sum
    }

    /// Reason and key of `n` dead letters; each says where it came from.
    pub(super) async fn letters(&self, n: usize) -> Vec<(String, String)> {
        let consumer = Consumer::start(&self.settings.kafka, "letters", "test").unwrap();
        let topics = self.settings.kafka.topics();
        let mut feed: Feed = consumer.add(topics.dlq(), 0, 0).unwrap();
        let mut letters = Vec::new();
        while letters.len() < n {
            let letter = next(&mut feed, tokio::time::Instant::now() + PATIENCE).await;
            let letter = letter.unwrap_or_else(|| panic!("{letters:?} of {n}"));
            let text = |letter: &Incoming, name| {
                String::from_utf8(letter.header(name).unwrap().to_vec()).unwrap()
            };
            assert_eq!(text(&letter, header::ORIGIN_TOPIC), **topics.push());
            letters.push((
                text(&letter, header::REASON),
                text(&letter, header::ORIGIN_KEY),
            ));
        }
        letters
    }
}

impl Running {
    /// Waits until so many records have ended, each with the user connected or told.
    pub(super) async fn all_ended(&self, n: u64) {
        let began = Instant::now();
        loop {
            let [connected, told] = ["connected", "delivered"].map(|end| self.metrics.records(end));
            if connected + told >= n {
                assert!(connected > 0);
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{connected} connected and {told} told of {n}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until so many records have ended that way.
    pub(super) async fn ended(&self, outcome: &str, n: u64) {
        let began = Instant::now();
        while self.metrics.records(outcome) < n {
            let has = self.metrics.records(outcome);
            assert!(began.elapsed() < PATIENCE, "{has} of {n} {outcome}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(self.metrics.records(outcome), n, "{outcome}");
    }

    /// The requests to whom that were judged so.
    pub(super) fn requests(&self, to: &str, verdict: &str) -> u64 {
        self.metrics.requests(to, verdict)
    }

    /// Waits until so many partitions were lost, and none is left.
    pub(super) async fn lost(&self, n: u64) {
        let began = Instant::now();
        loop {
            let (lost, has) = (
                self.metrics.partitions_lost.get(),
                self.metrics.partitions.get(),
            );
            if lost >= n && has == 0 {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{lost} of {n} lost, {has} are left"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until nothing waits in memory or is under way.
    pub(super) async fn idle(&self) {
        let began = Instant::now();
        while self.metrics.waiting.get() > 0 {
            let waiting = self.metrics.waiting.get();
            assert!(began.elapsed() < PATIENCE, "{waiting} wait");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Devices that were removed.
    pub(super) fn removed(&self) -> u64 {
        self.metrics.devices_removed.get()
    }

    /// As SIGTERM; fails if a task failed or did not end.
    pub(super) async fn stop(self) {
        self.lifecycle.drain().cancel();
        self.lifecycle.wait().await.unwrap();
    }
}
