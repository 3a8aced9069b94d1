//! Every statement is measured, under a name that is known beforehand.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use store::{Outcome, QueryObserver, Store, StoreSettings};

use crate::every::every_statement;
use crate::place::{Place, bare, patient};
use crate::writer::{Writer, room, user};

#[derive(Default)]
struct Seen(Mutex<Vec<(&'static str, Outcome)>>);

impl QueryObserver for Seen {
    fn observed(&self, statement: &'static str, _: Duration, outcome: Outcome) {
        self.0.lock().unwrap().push((statement, outcome));
    }
}

async fn observed(url: &str, seen: &Arc<Seen>) -> Store {
    let settings = patient(StoreSettings::new(url));
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
    let mut writer = Writer::claim(&store, "a", 0).await;
    writer.create(room(1), &[user(1), user(2)]);
    writer.commit().await;
    every_statement(&store, &mut writer, room(1)).await;
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
