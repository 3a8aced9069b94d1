//! A database of one's own.

use std::future::Future;
use std::time::Duration;

use stack::{Space, Stack};
use store::{Store, StoreSettings};
use tokio::time::Instant;
use tokio_postgres::{Client, NoTls, Transaction};

/// Nothing that is waited for here takes as long, on whichever machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An own database with its schema, and a store on it.
pub(crate) struct Place {
    pub(crate) store: Store,
    space: Space,
}

impl Place {
    pub(crate) async fn new() -> Self {
        let space = bare().await;
        let store = Store::connect(&settings(&space)).await.unwrap();
        store.setup().await.unwrap();
        store.ensure_lanes(4).await.unwrap();
        Self { store, space }
    }

    pub(crate) fn url(&self) -> &str {
        self.space.postgres_url()
    }

    /// A connection beside the store: to hold locks, and to look at rows.
    pub(crate) async fn client(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(self.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// One number from the database.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.client()
            .await
            .query_one(sql, &[])
            .await
            .unwrap()
            .get(0)
    }

    /// Waits until so many sessions of this database wait for a lock.
    pub(crate) async fn until_waiting(&self, expected: i64) {
        let client = self.client().await;
        until("sessions wait for a lock", || async {
            let sql = "select count(*) from pg_stat_activity
                       where datname = current_database() and wait_event_type = 'Lock'";
            let waiting: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
            (waiting == expected).then_some(()).ok_or(waiting)
        })
        .await;
    }
}

/// An own database without anything in it.
pub(crate) async fn bare() -> Space {
    Stack::shared().await.unwrap().space().await.unwrap()
}

/// Few connections, as many tests run at once.
pub(crate) fn settings(space: &Space) -> StoreSettings {
    StoreSettings {
        pool_size: 4,
        ..patient(StoreSettings::new(space.postgres_url()))
    }
}

/// No statement ends, and no lock is given up, because the machine stood still: what has to wait for a lock
/// waits until its test lets go of it.
pub(crate) fn patient(settings: StoreSettings) -> StoreSettings {
    StoreSettings {
        statement_timeout: PATIENCE,
        lock_timeout: PATIENCE / 2,
        ..settings
    }
}

/// Holds the lock on a lane's row, until the transaction ends.
pub(crate) async fn locked(client: &mut Client, lane: i32) -> Transaction<'_> {
    let transaction = client.transaction().await.unwrap();
    let sql = "select 1 from lane where lane = $1 for update";
    transaction.execute(sql, &[&lane]).await.unwrap();
    transaction
}

/// Waits for a condition, with a deadline and its last state in the message.
pub(crate) async fn until<S: std::fmt::Debug, F: Future<Output = Result<(), S>>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match condition().await {
            Ok(()) => return,
            Err(state) if Instant::now() > deadline => {
                panic!("not in {PATIENCE:?}: {what}; last {state:?}")
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}
