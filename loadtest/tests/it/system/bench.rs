//! What every test here stands on: a space of its own, a cluster in it, a scenario on the cluster.

use std::time::Duration;

use loadtest::{Scenario, oracle::Verdict};
use protocol::{RoomId, Seq};
use stack::{Cluster, ClusterOptions, Space, Stack};
use store::{Store, StoreSettings};
use tokio::time::{Instant, sleep};

/// A cluster of processes and the scenario that uses it.
pub struct Bench {
    pub scenario: Scenario,
    pub cluster: Cluster,
    pub space: Space,
}

impl Bench {
    /// On the servers that all tests share.
    pub async fn shared(was: usize, classifiers: usize) -> Self {
        Self::on(Stack::shared().await.unwrap(), was, classifiers).await
    }

    /// On these servers.
    pub async fn on(stack: &Stack, was: usize, classifiers: usize) -> Self {
        let space = stack.space().await.unwrap();
        let options = ClusterOptions {
            was,
            classifiers,
            lanes: 6,
            homes: 6,
            // Load from few users, not abuse: the rate limit has tests of its own.
            env: vec![
                ("SWITCHBOARD_WAS_RATE_PER_SECOND".into(), "10000".into()),
                ("SWITCHBOARD_WAS_RATE_BURST".into(), "10000".into()),
            ],
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
    pub async fn store(&self) -> Store {
        Store::connect(&StoreSettings {
            pool_size: 2,
            ..StoreSettings::new(self.space.postgres_url())
        })
        .await
        .unwrap()
    }

    /// Waits for everything and demands that it is whole, once and in order (I2, I5).
    pub async fn settle_well(&self) -> Verdict {
        let verdict = self.scenario.settle(Duration::from_secs(40)).await;
        assert!(verdict.is_good(), "{}", self.scenario.explain(&verdict));
        verdict
    }

    /// All seqs of a room, by paging its history as the user of `session`.
    pub async fn seqs(&self, session: usize, was: usize, room: RoomId) -> Vec<i64> {
        let rest = self.scenario.rest(session, was);
        let mut seqs: Vec<i64> = Vec::new();
        loop {
            let after = Seq::new(seqs.last().copied().unwrap_or(0)).unwrap();
            let page = rest
                .history(room, client::Page::After(after), 100)
                .await
                .unwrap();
            if page.messages.is_empty() {
                return seqs;
            }
            seqs.extend(page.messages.iter().map(|entry| entry.seq().get()));
        }
    }
}

/// Waits until `look` finds something, and says what it waited for when it does not.
pub async fn until<T, F: Future<Output = Option<T>>>(
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
