//! Where a test works, and how it waits.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::{Home, UserId};
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use routing::decide::View;
use routing::{
    Held, HomeKeeper, HomeSettings, HomeState, HomeTable, Looked, Markers, Redis, RedisSettings,
    Route, RouteTable, RoutingError, Shard, since_boot,
};
use stack::Stack;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Long enough for a busy machine, short enough for a lease whose end is waited for.
pub(crate) const LEASE: Duration = Duration::from_secs(3);

/// No test waits for its end, and no machine stands still for as long.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Renewed every two seconds, and not lost on a machine that stands still for three.
pub(crate) const STEADY: Duration = Duration::from_secs(8);

/// Its holder looks at the table often, and may lose it at any time.
pub(crate) const SHORT: Duration = Duration::from_secs(1);

/// Nothing that is waited for here takes as long. Sentinels do nothing for half a minute each time that
/// their machine has stood still.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Keys of the test's own on the Redis of all. A whole space would be a database as well.
pub(crate) struct Keys {
    url: &'static str,
    prefix: String,
}

impl Keys {
    pub(crate) async fn own() -> Self {
        let stack = Stack::shared().await.unwrap();
        Self {
            url: &stack.addresses().redis_url,
            prefix: format!("t{}:", Uuid::new_v4().simple()),
        }
    }

    pub(crate) fn name(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// As a gateway is connected.
    pub(crate) fn connect(&self) -> Redis {
        connect(self.url, &self.prefix)
    }

    /// To Redis itself.
    pub(crate) async fn connection(&self) -> MultiplexedConnection {
        connection(self.url).await
    }

    /// What Redis itself says to a command about one key of the test's.
    pub(crate) async fn ask<T: redis::FromRedisValue>(&self, command: &str, key: &str) -> T {
        let mut connection = self.connection().await;
        let mut command = redis::cmd(command);
        let answer = command.arg(self.name(key)).query_async(&mut connection);
        answer.await.unwrap()
    }
}

/// A Redis with keys of the test's own. A machine that stands still fails no request to it, but for
/// look-ups.
pub(crate) async fn redis() -> (Keys, Redis) {
    let keys = Keys::own().await;
    let settings = RedisSettings::new(keys.url, &keys.prefix);
    let redis = Redis::connect_patiently(&settings, PATIENCE).unwrap();
    (keys, redis)
}

pub(crate) fn connect(url: &str, key_prefix: &str) -> Redis {
    let settings = RedisSettings::new(url, key_prefix);
    Redis::connect(&settings).unwrap()
}

/// To a server itself. The client library's own limits are half a second for an answer, and one for
/// the connection.
pub(crate) async fn connection(url: &str) -> MultiplexedConnection {
    let patient = AsyncConnectionConfig::new()
        .set_response_timeout(Some(PATIENCE))
        .set_connection_timeout(Some(PATIENCE));
    let client = redis::Client::open(url).unwrap();
    let connected = client.get_multiplexed_async_connection_with_config(&patient);
    connected.await.unwrap()
}

/// Somebody was heard in the table of homes a moment ago, and his grace is over: whoever comes now may
/// have a home at once.
pub(crate) async fn settled(redis: &Redis, homes: i32) {
    let table = HomeTable::new(redis, homes);
    answered(|| table.take_part("somebody", 0, Duration::ZERO)).await;
}

/// Sets the markers, and waits until look-ups are answered by all shards.
pub(crate) async fn believed(redis: &Redis) {
    look(&mut Markers::new(redis)).await;
    let table = RouteTable::new(redis);
    let all: Vec<UserId> = (1..=256).map(user).collect();
    let ask = || async { table.fresh(&all).await };
    eventually("shards that are believed", ask, |found| {
        found.unknown.is_empty()
    })
    .await;
}

/// The routes of one of whom something is known, by a look-up that may be kept. A busy machine may be
/// late with an answer: then nothing is known.
pub(crate) async fn known(table: &RouteTable, user: UserId) -> Arc<[Route]> {
    let ask = || async { table.lookup(&[user]).await };
    let found = eventually("a look-up", ask, |found| found.unknown.is_empty()).await;
    Arc::clone(&found.known[&user])
}

/// Asks until Redis answers: a busy machine is late with one answer and another.
pub(crate) async fn answered<T: Debug, F: Future<Output = Result<T, RoutingError>>>(
    ask: impl FnMut() -> F,
) -> T {
    eventually("an answer", ask, Result::is_ok).await.unwrap()
}

/// Looks until all markers could be read; all that were found lost on the way.
pub(crate) async fn look(markers: &mut Markers) -> BTreeSet<Shard> {
    let mut lost = BTreeSet::new();
    let start = Instant::now();
    loop {
        let looked: Looked = markers.look().await;
        lost.extend(looked.lost);
        if looked.failure.is_none() {
            return lost;
        }
        assert!(start.elapsed() < PATIENCE, "{:?}", looked.failure);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Asks again until the answer is the wanted one; fails with the last one.
pub(crate) async fn eventually<T: Debug, F: Future<Output = T>>(
    what: &str,
    mut ask: impl FnMut() -> F,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let start = Instant::now();
    loop {
        let answer = ask().await;
        if wanted(&answer) {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn user(id: i64) -> UserId {
    UserId::new(id).unwrap()
}

pub(crate) fn route(home: i32, incarnation: i64) -> Route {
    Route {
        home: Home(home),
        incarnation,
        session: Uuid::new_v4(),
    }
}

/// A keeper that runs, as a process would run it.
pub(crate) struct Process {
    pub(crate) state: watch::Receiver<HomeState>,
    pub(crate) views: watch::Receiver<Option<Arc<View>>>,
    name: String,
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Process {
    pub(crate) fn start(redis: &Redis, name: &str, homes: i32) -> Self {
        Self::with_lease(redis, name, homes, LEASE)
    }

    pub(crate) fn with_lease(redis: &Redis, name: &str, homes: i32, lease: Duration) -> Self {
        let settings = HomeSettings {
            name: name.to_owned(),
            homes,
            lease,
        };
        let (keeper, state) = HomeKeeper::new(redis, settings);
        let views = keeper.views();
        let (end, ended) = oneshot::channel::<()>();
        let task = tokio::spawn(keeper.run(async {
            let _ = ended.await;
        }));
        Self {
            state,
            views,
            name: name.to_owned(),
            end,
            task,
        }
    }

    pub(crate) async fn reaches(
        &mut self,
        what: &str,
        wanted: impl FnMut(&HomeState) -> bool,
    ) -> HomeState {
        let last = self.state.clone();
        match tokio::time::timeout(PATIENCE, self.state.wait_for(wanted)).await {
            Ok(state) => state.unwrap().clone(),
            Err(_) => panic!("{what}: {:?}", *last.borrow()),
        }
    }

    pub(crate) async fn held(&mut self) -> Held {
        match self
            .reaches("a home", |state| matches!(state, HomeState::Held(_)))
            .await
        {
            HomeState::Held(held) => held,
            other => panic!("{other:?}"),
        }
    }

    /// Its home, once it was renewed after `before` had been told.
    pub(crate) async fn renewed(&mut self, before: Held) -> Held {
        let later =
            |state: &HomeState| matches!(state, HomeState::Held(held) if held.until > before.until);
        // Renewals wake nobody.
        let state = || async { self.state.borrow().clone() };
        match eventually("a renewal", state, later).await {
            HomeState::Held(held) => held,
            other => panic!("{other:?}"),
        }
    }

    /// The table says that it has none, and why.
    pub(crate) async fn waiting(&mut self, part: &str) -> String {
        let wanted = |state: &HomeState| matches!(state, HomeState::Waiting { reason } if reason.contains(part));
        match self.reaches(part, wanted).await {
            HomeState::Waiting { reason } => reason,
            other => panic!("{other:?}"),
        }
    }

    /// The table can't be read.
    pub(crate) async fn unheard(&mut self) {
        let wanted = |state: &HomeState| matches!(state, HomeState::Unheard { reason } if reason.contains("can't be renewed"));
        self.reaches("unheard", wanted).await;
    }

    /// The homes that it stewards, by the table as it was last told.
    pub(crate) fn stewards(&self) -> Vec<Home> {
        let view = self.views.borrow().clone();
        view.map_or_else(Vec::new, |view| view.stewarded_by(&self.name, since_boot()))
    }

    /// As SIGKILL: nothing is released.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    /// As SIGTERM: returns when the keeper has ended.
    pub(crate) async fn stop(self) {
        self.end.send(()).unwrap();
        self.task.await.unwrap();
    }
}
