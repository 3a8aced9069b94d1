//! Every statement is measured, under a name that is known beforehand.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use protocol::{DeviceToken, Lane, Platform};
use store::{Outcome, Page, QueryObserver, RoomKey, Store, StoreSettings};

use crate::catch_up::BYTES;
use crate::place::{Place, bare};
use crate::writer::{LEASE, TOPIC, Writer, room, seq, user};

#[derive(Default)]
struct Seen(Mutex<Vec<(&'static str, Outcome)>>);

impl QueryObserver for Seen {
    fn observed(&self, statement: &'static str, _: Duration, outcome: Outcome) {
        self.0.lock().unwrap().push((statement, outcome));
    }
}

async fn observed(url: &str, seen: &Arc<Seen>) -> Store {
    let settings = StoreSettings::new(url);
    let observer: Arc<dyn QueryObserver> = Arc::<Seen>::clone(seen);
    Store::connect_observed(&settings, observer).await.unwrap()
}

#[tokio::test]
async fn statements_are_observed_with_their_outcome() {
    let space = bare().await;
    let seen = Arc::new(Seen::default());
    let store = observed(space.postgres_url(), &seen).await;
    store.setup().await.unwrap();
    store.ensure_lanes(1).await.unwrap();
    let mut writer = Writer::claim(&store, "a", 0).await;
    writer.create(room(1), &[user(1)]);
    let batch = writer.take();
    store.append(&batch).await.unwrap();
    store.append(&batch).await.unwrap_err();
    let expected = [
        ("ping", Outcome::Ok),
        ("ensure_lanes", Outcome::Ok),
        ("lane_claim", Outcome::Ok),
        ("append", Outcome::Ok),
        ("append", Outcome::Refused),
    ];
    assert_eq!(*seen.0.lock().unwrap(), expected);
}

/// The list of names is complete, so that every metric is there at 0 from the start.
#[tokio::test]
async fn the_names_are_known_beforehand() {
    let place = Place::new().await;
    let seen = Arc::new(Seen::default());
    let store = observed(place.url(), &seen).await;
    store.ensure_lanes(4).await.unwrap();
    let mut writer = Writer::claim(&store, "a", 0).await;
    writer.create(room(1), &[user(1)]);
    writer.commit().await;
    let epoch = writer.advance.epoch;
    store.heartbeat("a", LEASE, &[]).await.unwrap();
    store.claim("b", Lane(0), TOPIC, LEASE).await.unwrap();
    store.cut_back("a", Lane(0), epoch, 0).await.unwrap();
    store.release("a", Lane(0), epoch, 0).await.unwrap();
    store.leave("a").await.unwrap();
    store.load_rooms(&[]).await.unwrap();
    store.load_messages(&[]).await.unwrap();
    store.find_events(&[], &[]).await.unwrap();
    store.raise_marks(&[]).await.unwrap();
    let key = RoomKey::Direct(user(1), user(2));
    store.reserve_room(key).await.unwrap();
    store.rooms_of(user(1), None, 100).await.unwrap();
    store.room(user(1), room(1)).await.unwrap();
    store.crowded(&[], room(1), 1).await.unwrap();
    for page in [Page::After(seq(0)), Page::Before(seq(9))] {
        store.history(user(1), room(1), page, 1).await.unwrap();
    }
    let id = uuid::Uuid::new_v4();
    store
        .find_outcome(room(1), user(1), "message", id)
        .await
        .unwrap();
    store.create_or_get_user("x").await.unwrap();
    store.names(&[]).await.unwrap();
    let token = DeviceToken::try_from("token".to_owned()).ok().unwrap();
    let device = store.register_device(user(1), Platform::Web, &token);
    let device = device.await.unwrap().unwrap();
    store.devices(user(1)).await.unwrap();
    store.remove_device(user(1), device).await.unwrap();
    store.notices(&[]).await.unwrap();
    store.ensure_push_partitions(1).await.unwrap();
    store.push_heartbeat("a", LEASE, &[]).await.unwrap();
    store.push_claim("a", 0, LEASE).await.unwrap();
    store.push_release("a", 0, 0).await.unwrap();
    store.push_leave("a").await.unwrap();
    store.catch_up(&[], BYTES).await.unwrap();
    let seen: BTreeSet<_> = seen
        .0
        .lock()
        .unwrap()
        .iter()
        .map(|(name, _)| *name)
        .collect();
    let known: BTreeSet<_> = Store::STATEMENTS.iter().copied().collect();
    assert_eq!(
        known.len(),
        Store::STATEMENTS.len(),
        "a name is there twice"
    );
    assert_eq!(seen, known);
}
