//! What every test here stands on: a space of its own, a cluster in it, a scenario on the cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use client::RestError;
use loadtest::{Scenario, oracle::Verdict};
use protocol::{MessageId, RoomId, Seq};
use stack::{Cluster, ClusterOptions, RedisAlone, Service, Space, Stack};
use store::{Store, StoreSettings};
use tokio::time::{Instant, sleep};

/// How long anything may take before a test fails, on a machine that has much else to do.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The owner of each lane.
pub(super) type Lanes = BTreeMap<i32, Option<String>>;

/// A cluster of processes and the scenario that uses it.
pub(super) struct Bench {
    pub(super) scenario: Scenario,
    pub(super) cluster: Cluster,
    pub(super) space: Space,
}

impl Bench {
    /// On the servers that all tests share.
    pub(super) async fn shared(was: usize, classifiers: usize) -> Self {
        Self::with(Stack::shared().await.unwrap(), was, classifiers, &[]).await
    }

    /// On them, but for a Redis of the test's own, which it may stop; with further settings.
    pub(super) async fn with_redis(
        redis: &RedisAlone,
        was: usize,
        classifiers: usize,
        settings: &[(&str, &str)],
    ) -> Self {
        let stack = Stack::shared().await.unwrap();
        let its = [("SWITCHBOARD_REDIS_URL", redis.url())];
        let settings = [&its, settings].concat();
        Self::with(stack, was, classifiers, &settings).await
    }

    /// On these servers, with further settings.
    pub(super) async fn with(
        stack: &Stack,
        was: usize,
        classifiers: usize,
        settings: &[(&str, &str)],
    ) -> Self {
        let settings = settings
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        Self::in_space(stack.space().await.unwrap(), was, classifiers, settings).await
    }

    /// In this space, with further settings.
    pub(super) async fn in_space(
        space: Space,
        was: usize,
        classifiers: usize,
        settings: Vec<(String, String)>,
    ) -> Self {
        // Load from few users, not abuse: the rate limit has tests of its own.
        let rate = [
            ("SWITCHBOARD_WAS_RATE_PER_SECOND", "10000"),
            ("SWITCHBOARD_WAS_RATE_BURST", "10000"),
        ];
        let rate = rate.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let options = ClusterOptions {
            was,
            classifiers,
            lanes: 6,
            homes: 6,
            env: rate.into_iter().chain(settings).collect(),
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start(&space, options).await.unwrap();
        let scenario = Scenario::new(cluster.urls());
        Self {
            scenario,
            cluster,
            space,
        }
    }

    /// Postgres as a test looks into it.
    pub(super) async fn store(&self) -> Store {
        Store::connect(&StoreSettings {
            pool_size: 2,
            ..StoreSettings::new(self.space.postgres_url())
        })
        .await
        .unwrap()
    }

    /// The owners of lanes, once all have one and none of them moves for fairness' sake: a classifier is ready before
    /// it has its share.
    pub(super) async fn lanes_at_rest(&self, classifiers: usize) -> Lanes {
        until("lanes shared", PATIENCE, || async {
            let lanes = self.lanes().await;
            let mut counts = BTreeMap::new();
            for owner in lanes.values() {
                *counts.entry(owner.clone()?).or_insert(0) += 1;
            }
            let fair = 1 + lanes.len() / classifiers;
            (counts.len() == classifiers && counts.values().all(|count| *count <= fair))
                .then_some(lanes)
        })
        .await
    }

    /// The owners of lanes, as they are.
    pub(super) async fn lanes(&self) -> Lanes {
        let table = self.store().await.lane_table().await.unwrap();
        table
            .lanes
            .into_iter()
            .map(|lane| (lane.lane.0, lane.owner))
            .collect()
    }

    /// Waits for everything and demands that it is whole, once and in order (I2, I5).
    pub(super) async fn settle_well(&self) -> Verdict {
        let verdict = self.scenario.settle(PATIENCE * 2).await;
        assert!(verdict.is_good(), "{}", self.scenario.explain(&verdict));
        verdict
    }

    /// Waits until the room's head is `head`, as the user of `session` sees it.
    pub(super) async fn head(&self, session: usize, room: RoomId, head: i64) {
        let rest = self.scenario.rest(session, 0);
        let what = format!("head {head} in room {room}");
        until(&what, PATIENCE, || async {
            let view = rest.room(room).await.ok()?;
            (view.head.get() == head).then_some(())
        })
        .await;
    }

    /// All seqs of a room, by paging its history as the user of `session`.
    pub(super) async fn seqs(&self, session: usize, was: usize, room: RoomId) -> Vec<i64> {
        let rest = self.scenario.rest(session, was);
        let mut seqs: Vec<i64> = Vec::new();
        loop {
            let after = Seq::new(seqs.last().copied().unwrap_or(0)).unwrap();
            let page = answered(|_| rest.history(room, client::Page::After(after), 100));
            let page = page.await.unwrap();
            if page.messages.is_empty() {
                return seqs;
            }
            seqs.extend(page.messages.iter().map(|entry| entry.seq().get()));
        }
    }
}

/// What a gateway answers in the end: one that can't tell now, as it has no home at the moment or hears no outcome, says 503,
/// "unknown, repeat with this key". All attempts have one key, so whatever became of those before, it is done once.
pub(super) async fn answered<T, F: Future<Output = Result<T, RestError>>>(
    mut ask: impl FnMut(MessageId) -> F,
) -> Result<T, RestError> {
    let (key, deadline) = (MessageId::now_v7(), Instant::now() + PATIENCE);
    loop {
        match ask(key).await {
            Err(error) if error.status() == Some(503) && Instant::now() < deadline => {
                sleep(Duration::from_millis(50)).await;
            }
            answer => return answer,
        }
    }
}

/// What a process tells of one of its metrics, over all labels; none when it can't be asked.
pub(super) async fn metric(service: &Service, name: &str) -> Option<f64> {
    let url = format!("{}/metrics", service.admin_url());
    let page = reqwest::get(url).await.ok()?.text().await.ok()?;
    page.lines()
        .filter_map(|line| line.strip_prefix(name))
        // The name whole: labels or the value follow it.
        .filter(|rest| rest.starts_with(['{', ' ']))
        .map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// Waits until `look` finds something, and says what it waited for when it does not.
pub(super) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}
