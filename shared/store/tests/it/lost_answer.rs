//! Answers that get lost between Postgres and the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use protocol::Lane;
use stack::Awake;
use store::{AppendError, Batch, Store, StoreSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::place::{PATIENCE, Place, locked, patient, until};
use crate::writer::{LEASE, TOPIC, Writer, room, user};

/// A way to Postgres on which its answers can be swallowed.
struct Road {
    url: String,
    swallow: Arc<AtomicBool>,
}

impl Road {
    async fn to(place: &Place) -> Self {
        let config: tokio_postgres::Config = place.url().parse().unwrap();
        let port = config.get_ports()[0];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let url = place
            .url()
            .replace(&format!(":{port}/"), &format!(":{own}/"));
        assert_ne!(url, place.url());
        let swallow = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&swallow);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let never = Arc::new(AtomicBool::new(false));
                tokio::spawn(carry(from_client, to_server, never));
                tokio::spawn(carry(from_server, to_client, Arc::clone(&flag)));
            }
        });
        Self { url, swallow }
    }

    /// One that waits no longer than it must. What it is answered in time is a question of the machine.
    async fn store(&self, statement_timeout: Duration) -> Store {
        let settings = StoreSettings {
            statement_timeout,
            ..StoreSettings::new(&self.url)
        };
        let begun = Instant::now();
        loop {
            match Store::connect(&settings).await {
                Ok(store) => return store,
                Err(error) => assert!(
                    error.is_transient() && begun.elapsed() < PATIENCE,
                    "{error}"
                ),
            }
        }
    }

    fn swallow(&self, yes: bool) {
        self.swallow.store(yes, Ordering::SeqCst);
    }
}

/// Waits until the batch is known to be stored already: that comes in time, or is asked again.
async fn fenced(store: &Store, batch: &Batch) {
    until("the batch is a mismatch", || async {
        match store.append(batch).await {
            Err(AppendError::Fenced(lanes)) => {
                assert_eq!(lanes, [Lane(0)]);
                Ok(())
            }
            Err(error) => Err(error),
            Ok(()) => panic!("stored twice"),
        }
    })
    .await;
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, swallow: Arc<AtomicBool>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        let kept = !swallow.load(Ordering::SeqCst);
        if kept && to.write_all(&buffer[..n]).await.is_err() {
            break;
        }
    }
}

/// Trap 15, I2: stored, and the answer lost: that is unknown, the connection leaves the pool, and
/// the same batch again is a mismatch; the lane's row says how far it is.
#[tokio::test]
async fn trap_15_a_lost_answer_is_unknown_and_the_repeat_is_fenced() {
    let place = Place::new().await;
    let road = Road::to(&place).await;
    // Long enough for the server to store what nobody hears of.
    let store = road.store(Duration::from_secs(2)).await;
    let mut writer = Writer::claim(&place.store, "a", 0).await;
    writer.create(room(1), &[user(1)]);
    let first = writer.take();
    place.store.append(&first).await.unwrap();
    fenced(&store, &first).await; // prepares the statement on this connection
    writer.say(room(1), user(1), "x");
    let batch = writer.take();
    assert_eq!(store.pool_state().open, 1);

    road.swallow(true);
    let error = store.append(&batch).await.unwrap_err();
    assert!(matches!(error, AppendError::Unknown(_)), "{error}");
    assert_eq!(store.pool_state().open, 0);

    road.swallow(false);
    fenced(&store, &batch).await;
    assert_eq!(place.number("select count(*) from message").await, 2);
    let claim = place.store.claim("a", Lane(0), TOPIC, LEASE).await.unwrap();
    assert_eq!(claim.unwrap().applied, 1);
}

/// I9: one deadline for all that a call waits for, a connection that has to be opened included.
#[tokio::test]
async fn i9_a_call_ends_in_time_whatever_it_waits_for() {
    let place = Place::new().await;
    let road = Road::to(&place).await;
    let store = road.store(Duration::from_millis(300)).await;
    road.swallow(true);
    // The open connection does not answer; the next call opens one, which does not either.
    for expected in ["unknown", "unavailable"] {
        let began = Awake::since_now();
        let error = store.ping().await.unwrap_err();
        assert_eq!(error.label(), expected, "{error}");
        let took = began.elapsed();
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
    road.swallow(false);
    until("it answers again", || store.ping()).await;
}

/// A connection that breaks under an append says nothing about it either.
#[tokio::test]
async fn a_broken_connection_is_unknown() {
    let place = Place::new().await;
    let store = &place.store;
    let mut writer = Writer::claim(store, "a", 0).await;
    let mut client = place.client().await;
    let transaction = locked(&mut client, 0).await;
    writer.create(room(1), &[user(1)]);
    let batch = writer.take();
    let waiting = tokio::spawn({
        let (store, batch) = (store.clone(), batch.clone());
        async move { store.append(&batch).await }
    });
    place.until_waiting(1).await;
    let killed = "select pg_terminate_backend(pid) from pg_stat_activity
                  where datname = current_database() and wait_event_type = 'Lock'";
    let killer = place.client().await;
    until("one that waits is ended", || async {
        let ended = killer.execute(killed, &[]).await.unwrap();
        (ended == 1).then_some(()).ok_or(ended)
    })
    .await;
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, AppendError::Unknown(_)), "{error}");
    transaction.commit().await.unwrap();
    store.append(&batch).await.unwrap();
}

/// A caller that is cancelled leaves no connection behind on which its statement still runs: the
/// next one would wait for that statement's end.
#[tokio::test]
async fn a_cancelled_statement_takes_its_connection_along() {
    let place = Place::new().await;
    let settings = StoreSettings {
        pool_size: 1,
        ..patient(StoreSettings::new(place.url()))
    };
    let store = Store::connect(&settings).await.unwrap();
    let mut writer = Writer::claim(&store, "a", 0).await;
    let mut client = place.client().await;
    let _held = locked(&mut client, 0).await;
    writer.create(room(1), &[user(1)]);
    let batch = writer.take();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.append(&batch).await }
    });
    place.until_waiting(1).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    assert_eq!(store.pool_state().open, 0);
    // What waited for the cancelled statement, whose lock is held here, would end with an error.
    store.ping().await.unwrap();
}

/// The database may restart: the pool finds out by itself.
#[tokio::test]
async fn broken_idle_connections_are_replaced() {
    let place = Place::new().await;
    let store = &place.store;
    store.ping().await.unwrap();
    let killed = "select pg_terminate_backend(pid) from pg_stat_activity
                  where datname = current_database() and pid <> pg_backend_pid()";
    place.client().await.execute(killed, &[]).await.unwrap();
    until("the store answers again", || store.ping()).await;
}
