//! Sockets that nobody reads: connected, written to, silent.

use std::time::Duration;

use client::{Client, Events, Options};
use stack::Cluster;
use tokio::time::interval;
use tokio_util::task::AbortOnDropHandle;

use crate::scenario::Scenario;

/// A group takes no more than 100.
const MOST: usize = 90;
/// Bytes in a body, and how often one is sent: 1 MB a second for each of them.
const BODY: usize = 100_000;
const TURN: Duration = Duration::from_millis(100);
/// What the gateways count.
const CLOSED: &str = "was_sockets_closed_total{reason=\"too_slow\"}";

/// Users of their own in one room; all but the one who writes read nothing.
pub(crate) struct Slow {
    scenario: Option<Scenario>,
    clients: Vec<(Client, Events)>,
    flood: Option<AbortOnDropHandle<()>>,
    closed_before: f64,
}

impl Slow {
    /// One for ten users, connected and still quiet.
    pub(crate) async fn prepare(cluster: &Cluster, users: usize) -> anyhow::Result<Self> {
        let count = (users / 10).clamp(1, MOST);
        let mut scenario = Scenario::new(cluster.urls());
        scenario.users(count + 1).await?;
        scenario.room(&(0..=count).collect::<Vec<_>>()).await?;
        scenario.connect(0, 0).await?;
        let mut clients = Vec::new();
        for index in 1..=count {
            let mut urls = cluster.urls();
            let first = index % urls.len();
            urls.rotate_left(first);
            let session = scenario.session(index);
            let mut options = Options::new(urls, session.token(), "slow");
            // The greeting fits; what comes after it stays on the socket.
            options.events = 1;
            clients.push(Client::connect(options));
        }
        let closed_before = closed(cluster).await?;
        Ok(Self {
            scenario: Some(scenario),
            clients,
            flood: None,
            closed_before,
        })
    }

    /// Begins to write to them.
    pub(crate) fn flood(&mut self) {
        let Some(scenario) = self.scenario.take() else {
            return;
        };
        self.flood = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            let mut turns = interval(TURN);
            loop {
                turns.tick().await;
                // Refused: the outbox is full, so enough is on its way.
                _ = scenario.say(0, 0, "x".repeat(BODY));
            }
        })));
    }

    /// Ends it; says how many of how many were closed for it.
    pub(crate) async fn stop(self, cluster: &Cluster) -> anyhow::Result<String> {
        let closed = closed(cluster).await? - self.closed_before;
        Ok(format!(
            "{closed:.0} sockets closed as too slow, of {} that were not read",
            self.clients.len()
        ))
    }
}

async fn closed(cluster: &Cluster) -> Result<f64, stack::Error> {
    let mut closed = 0.0;
    for was in cluster.gateways() {
        closed += was.counted(CLOSED).await?;
    }
    Ok(closed)
}
