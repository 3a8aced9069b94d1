//! Markers: who sets them, who notices, and what is said about users while they are new.

use std::collections::BTreeSet;
use std::time::Instant;

use protocol::UserId;
use routing::{GOOD_AFTER, Lookup, Markers, RouteTable, Shard};

use crate::place::{eventually, known, redis, route, user};

/// What is new at one look.
async fn look(markers: &mut Markers) -> BTreeSet<Shard> {
    let looked = markers.look().await;
    assert!(looked.failure.is_none(), "{looked:?}");
    looked.lost.into_iter().collect()
}

/// What is said about some users, by one who keeps nothing.
async fn fresh(table: &RouteTable, users: &[UserId]) -> Lookup {
    // A busy machine may be late with an answer: then nothing is known, and it says why.
    let ask = || async { table.fresh(users).await };
    let mut found = eventually("an answer", ask, |found| found.failure.is_none()).await;
    assert_eq!(found.known.len() + found.unknown.len(), users.len());
    found.unknown.sort_unstable();
    found
}

/// Whether a marker is new that was set after `before`. On a machine that stood still it may be old by now.
fn new_since(before: Instant) -> bool {
    before.elapsed() < GOOD_AFTER
}

/// Trap 17: of two processes one finds the marker missing and sets it; the other notices all the same,
/// and both do so once. So they do if it was a router that found it missing.
#[tokio::test]
async fn trap_17_everybody_notices_a_shard_that_was_lost() {
    let (keys, redis) = redis().await;
    let (mut one, mut other) = (Markers::new(&redis), Markers::new(&redis));
    let all: BTreeSet<Shard> = Shard::all().collect();
    assert_eq!(look(&mut one).await, all, "nothing is known at first");
    assert_eq!(look(&mut other).await, all);
    assert_eq!(look(&mut one).await, BTreeSet::new(), "they are the same");

    let lost = Shard::of(user(261));
    assert_eq!(lost.to_string(), "{r5}");
    let expected = BTreeSet::from([lost]);
    let router = RouteTable::new(&redis);
    for by_router in [false, true] {
        let deleted: i64 = keys.ask("DEL", &format!("route:{lost}")).await;
        assert_eq!(deleted, 1);
        if by_router {
            assert_eq!(fresh(&router, &[user(5)]).await.unknown, [user(5)]);
        }
        assert_eq!(look(&mut one).await, expected);
        assert_eq!(look(&mut other).await, expected);
        assert_eq!(look(&mut one).await, BTreeSet::new());
        assert_eq!(look(&mut other).await, BTreeSet::new());
    }
}

/// Trap 10: of a shard that has lost its memory nothing is said, and nothing is kept, until everybody
/// had the time to write its routes again; the others are believed.
#[tokio::test]
async fn trap_10_a_shard_that_was_lost_is_not_believed_for_a_while() {
    let (keys, redis) = redis().await;
    let table = RouteTable::new(&redis);
    let set = Instant::now();
    look(&mut Markers::new(&redis)).await;
    let (here, there, nobody) = (user(7), user(8), user(7 + 256));
    for each in [here, there] {
        table.write(each, "phone", &route(1, 1)).await.unwrap();
    }
    let all = [here, there, nobody];
    let found = fresh(&table, &all).await;
    if new_since(set) {
        assert_eq!(found.unknown, [here, there, nobody], "new");
    }
    let good = || async { table.fresh(&all).await };
    eventually("believed", good, |found| found.unknown.is_empty()).await;
    assert_eq!(*known(&table, nobody).await, []);

    // One shard forgets all that it knew.
    for key in ["route:{r7}", "route:{r7}:7"] {
        let deleted: i64 = keys.ask("DEL", key).await;
        assert_eq!(deleted, 1);
    }
    let lost = Instant::now();
    let found = fresh(&table, &all).await;
    assert_eq!(found.unknown, [here, nobody]);
    assert_eq!(found.known[&there].len(), 1);
    // Written again: who has another device may be elsewhere as well, so it is unknown all the same.
    table.write(here, "phone", &route(1, 1)).await.unwrap();
    let other = RouteTable::new(&redis);
    for _ in 0..2 {
        let ask = || async { other.lookup(&all).await };
        let found = eventually("an answer", ask, |found| found.failure.is_none()).await;
        if new_since(lost) {
            assert_eq!(found.unknown.len(), 2, "not kept");
        }
    }
    let found = eventually("believed again", good, |found| found.unknown.is_empty()).await;
    assert!(lost.elapsed() + GOOD_AFTER / 10 > GOOD_AFTER);
    assert_eq!(found.known[&here].len(), 1);
    assert!(found.known[&nobody].is_empty());
}

/// A marker that stands is left alone, and so is its age.
#[tokio::test]
async fn a_marker_that_stands_is_left_alone() {
    let (keys, redis) = redis().await;
    let mut markers = Markers::new(&redis);
    look(&mut markers).await;
    let marker: String = keys.ask("GET", "route:{r7}").await;
    let left: i64 = keys.ask("PTTL", "route:{r7}:new").await;
    look(&mut markers).await;
    look(&mut Markers::new(&redis)).await;
    let again: String = keys.ask("GET", "route:{r7}").await;
    assert_eq!(again, marker);
    let later: i64 = keys.ask("PTTL", "route:{r7}:new").await;
    assert!(later <= left, "{later} after {left}");
}
