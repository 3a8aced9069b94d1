//! Markers: who sets them, and who notices.

use std::collections::BTreeSet;

use routing::{Markers, Shard};

use crate::place::{LEASE, ask, redis, user};

/// What is new at one look.
async fn look(markers: &mut Markers) -> BTreeSet<Shard> {
    markers.look(LEASE).await.unwrap().into_iter().collect()
}

/// Trap 17: of two processes one finds the marker missing and sets it; the other notices all the same,
/// and both do so once.
#[tokio::test]
async fn trap_17_everybody_notices_a_shard_that_was_lost() {
    let (space, redis) = redis().await;
    let (mut one, mut other) = (Markers::new(&redis), Markers::new(&redis));
    let all: BTreeSet<Shard> = Shard::all().collect();
    assert_eq!(look(&mut one).await, all, "nothing is known at first");
    assert_eq!(look(&mut other).await, all);
    assert_eq!(look(&mut one).await, BTreeSet::new(), "they are the same");

    let lost = Shard::of(user(261));
    assert_eq!(lost.to_string(), "{r5}");
    let deleted: i64 = ask(&space, "DEL", &format!("route:{lost}")).await;
    assert_eq!(deleted, 1);
    let expected = BTreeSet::from([lost]);
    assert_eq!(look(&mut one).await, expected);
    assert_eq!(look(&mut other).await, expected);
    assert_eq!(look(&mut one).await, BTreeSet::new());
    assert_eq!(look(&mut other).await, BTreeSet::new());
}

/// A shard with a new marker can be believed one lease later, by Redis's clock.
#[tokio::test]
async fn a_new_marker_says_when_its_shard_is_good() {
    let (space, redis) = redis().await;
    let mut markers = Markers::new(&redis);
    markers.look(LEASE).await.unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap().as_millis();
    let marker: String = ask(&space, "GET", "route:{r7}").await;
    let (_, good_from) = marker.rsplit_once(':').unwrap();
    let good_from: u128 = good_from.parse().unwrap();
    // One machine, one clock; set a moment ago.
    assert!(good_from <= now + LEASE.as_millis(), "{marker} at {now}");
    assert!(good_from > now - 15_000, "{marker} at {now}");
    markers.look(LEASE).await.unwrap();
    let again: String = ask(&space, "GET", "route:{r7}").await;
    assert_eq!(again, marker, "one that stands is left alone");
}
