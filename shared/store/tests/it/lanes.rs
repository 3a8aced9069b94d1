//! Leases by Postgres's clock, and epochs that only rise.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use protocol::Lane;
use store::{HeldLane, LaneRow, Store};

use crate::place::{Place, until};
use crate::writer::{LEASE, TOPIC, Writer, room, user};

const SHORT: Duration = Duration::from_millis(100);

/// The table as somebody sees it who holds nothing.
async fn lane(store: &Store, n: i32) -> LaneRow {
    let table = store.heartbeat("observer", LEASE, &[]).await.unwrap();
    let mut lanes = table.lanes.into_iter();
    lanes.find(|row| row.lane == Lane(n)).unwrap()
}

async fn lapsed(store: &Store, n: i32) {
    until("the lease has ended", || async {
        let row = lane(store, n).await;
        row.ttl_left.is_zero().then_some(()).ok_or(row)
    })
    .await;
}

#[tokio::test]
async fn a_held_lane_is_nobody_elses() {
    let place = Place::new().await;
    let store = &place.store;
    let claim = store.claim("a", Lane(0), TOPIC, LEASE).await.unwrap();
    let claim = claim.unwrap();
    assert_eq!((claim.applied, claim.routed), (-1, -1));
    let other = store.claim("b", Lane(0), TOPIC, LEASE).await.unwrap();
    assert_eq!(other, None);
    let row = lane(store, 0).await;
    assert_eq!(row.owner.as_deref(), Some("a"));
    assert_eq!(row.epoch, claim.epoch);
    assert_eq!(row.topic_id.as_deref(), Some(TOPIC));
    assert!(row.ttl_left > LEASE / 2 && row.ttl_left <= LEASE, "{row:?}");
    let free = lane(store, 1).await;
    assert_eq!((free.owner, free.ttl_left), (None, Duration::ZERO));
    let none = store.claim("a", Lane(99), TOPIC, LEASE).await.unwrap();
    assert_eq!(none, None);
}

#[tokio::test]
async fn of_many_claims_at_once_one_succeeds() {
    let place = Place::new().await;
    let mut claims = tokio::task::JoinSet::new();
    for n in 0..8 {
        let store = place.store.clone();
        claims.spawn(async move { store.claim(&format!("c{n}"), Lane(0), TOPIC, LEASE).await });
    }
    let claims = claims.join_all().await;
    let won = claims.into_iter().filter_map(Result::unwrap).count();
    assert_eq!(won, 1);
}

#[tokio::test]
async fn a_lapsed_lane_is_taken_over_where_it_was() {
    let place = Place::new().await;
    let store = &place.store;
    let mut first = Writer::claim(store, "a", 0).await;
    first.create(room(1), &[user(1)]);
    first.batch.lease = SHORT;
    first.commit().await;
    lapsed(store, 0).await;
    let claim = store.claim("b", Lane(0), TOPIC, LEASE).await.unwrap();
    let claim = claim.unwrap();
    assert!(claim.epoch > first.advance.epoch);
    assert_eq!((claim.applied, claim.routed), (0, -1));
}

/// A lease that has ended and that nobody took is still the owner's to renew: the epoch is the
/// fence, not the clock.
#[tokio::test]
async fn a_lapsed_lane_that_nobody_took_is_renewed() {
    let place = Place::new().await;
    let store = &place.store;
    let claim = store.claim("a", Lane(0), TOPIC, SHORT).await.unwrap();
    let epoch = claim.unwrap().epoch;
    lapsed(store, 0).await;
    let held = HeldLane {
        lane: Lane(0),
        epoch,
        routed: -1,
    };
    store.heartbeat("a", LEASE, &[held]).await.unwrap();
    assert!(lane(store, 0).await.ttl_left > SHORT);
}

/// A process that comes back under its name does not wait for its own lease; its old self is fenced.
#[tokio::test]
async fn the_same_name_takes_over_at_once() {
    let place = Place::new().await;
    let store = &place.store;
    let mut old = Writer::claim(store, "a", 0).await;
    let claim = store.claim("a", Lane(0), TOPIC, LEASE).await.unwrap();
    assert!(claim.unwrap().epoch > old.advance.epoch);
    old.create(room(1), &[user(1)]);
    assert_eq!(old.try_commit().await.unwrap_err().label(), "fenced");
}

/// Trap 9: an epoch is above every one before, also when a failover has lost the last ones.
#[tokio::test]
async fn epochs_are_above_the_clock_and_the_last_one() {
    let place = Place::new().await;
    let store = &place.store;
    let ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let ms = i64::try_from(ms.as_millis()).unwrap();
    let first = store.claim("a", Lane(0), TOPIC, LEASE).await.unwrap();
    assert!(first.unwrap().epoch > ms);
    let client = place.client().await;
    let far = i64::MAX / 2;
    client
        .execute("update lane set epoch = $1 where lane = 0", &[&far])
        .await
        .unwrap();
    let second = store.claim("a", Lane(0), TOPIC, LEASE).await.unwrap();
    assert_eq!(second.unwrap().epoch, far + 1);
}

#[tokio::test]
async fn a_released_lane_is_free_at_once_and_keeps_its_progress() {
    let place = Place::new().await;
    let store = &place.store;
    let mut first = Writer::claim(store, "a", 0).await;
    first.create(room(1), &[user(1)]);
    first.say(room(1), user(1), "x");
    first.commit().await;
    let epoch = first.advance.epoch;
    assert!(!store.release("b", Lane(0), epoch, 0).await.unwrap());
    assert!(!store.release("a", Lane(0), epoch - 1, 0).await.unwrap());
    assert!(store.release("a", Lane(0), epoch, 0).await.unwrap());
    assert!(!store.release("a", Lane(0), epoch, 0).await.unwrap());
    let claim = store.claim("b", Lane(0), TOPIC, LEASE).await.unwrap();
    let claim = claim.unwrap();
    assert_eq!((claim.applied, claim.routed), (1, 0));
}

#[tokio::test]
async fn another_topic_starts_at_none() {
    let place = Place::new().await;
    let store = &place.store;
    let mut first = Writer::claim(store, "a", 0).await;
    first.create(room(1), &[user(1)]);
    first.commit().await;
    let claim = store.claim("a", Lane(0), "topic-2", LEASE).await.unwrap();
    let claim = claim.unwrap();
    assert_eq!((claim.applied, claim.routed), (-1, -1));
}

#[tokio::test]
async fn progress_beyond_the_log_is_cut_back_by_its_owner_only() {
    let place = Place::new().await;
    let store = &place.store;
    let mut first = Writer::claim(store, "a", 0).await;
    first.create(room(1), &[user(1)]);
    first.say(room(1), user(1), "x");
    first.advance.routed = 1;
    first.commit().await;
    let epoch = first.advance.epoch;
    assert!(!store.cut_back("b", Lane(0), epoch, 0).await.unwrap());
    assert!(store.cut_back("a", Lane(0), epoch, 0).await.unwrap());
    let row = lane(store, 0).await;
    assert_eq!((row.applied, row.routed), (0, 0));
    assert!(store.cut_back("a", Lane(0), epoch, 7).await.unwrap());
    assert_eq!(lane(store, 0).await.applied, 0);
}

#[tokio::test]
async fn members_are_those_heard_of_within_their_lease() {
    let place = Place::new().await;
    let store = &place.store;
    store.heartbeat("b", LEASE, &[]).await.unwrap();
    let table = store.heartbeat("a", LEASE, &[]).await.unwrap();
    let names: Vec<_> = table.members.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(table.lanes.len(), 4);
    store.leave("b").await.unwrap();
    store.heartbeat("c", SHORT, &[]).await.unwrap();
    until("only a is left", || async {
        let members = store.heartbeat("a", LEASE, &[]).await.unwrap().members;
        let alone = members.len() == 1 && members[0].name == "a";
        alone.then_some(()).ok_or(members)
    })
    .await;
}
