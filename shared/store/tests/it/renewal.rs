//! Renewals while appends hold the rows.

use protocol::Lane;
use store::HeldLane;

use crate::place::{Place, locked};
use crate::writer::{LEASE, TOPIC, Writer, room, user};

/// Trap 18: a renewal steps over a row that an append holds, and renews the others.
#[tokio::test]
async fn trap_18_renewals_do_not_queue_behind_locks() {
    let place = Place::new().await;
    let store = &place.store;
    let mut held = Vec::new();
    for n in 0..2 {
        let writer = Writer::claim(store, "a", n).await;
        held.push(HeldLane {
            lane: Lane(n),
            epoch: writer.advance.epoch,
            routed: -1,
        });
    }
    let mut client = place.client().await;
    let _held = locked(&mut client, 0).await;
    let long = LEASE * 10;
    // What waited for the lock, which is held here, would end with an error.
    let table = store.heartbeat("a", long, &held).await.unwrap();
    assert!(table.lanes[0].ttl_left <= LEASE, "was not stepped over");
    assert!(table.lanes[1].ttl_left > LEASE, "was not renewed");
}

/// Trap 18: nor does a claim.
#[tokio::test]
async fn trap_18_claims_do_not_queue_behind_locks() {
    let place = Place::new().await;
    let mut client = place.client().await;
    let _held = locked(&mut client, 0).await;
    let claim = place.store.claim("a", Lane(0), TOPIC, LEASE).await;
    assert_eq!(claim.unwrap(), None);
}

#[tokio::test]
async fn a_renewal_moves_routed_up_to_applied_never_back() {
    let place = Place::new().await;
    let store = &place.store;
    let mut writer = Writer::claim(store, "a", 0).await;
    writer.create(room(1), &[user(1)]);
    writer.say(room(1), user(1), "x");
    writer.commit().await; // applied 1
    for (told, expected) in [(0, 0), (1, 1), (0, 1), (9, 1)] {
        let held = HeldLane {
            lane: Lane(0),
            epoch: writer.advance.epoch,
            routed: told,
        };
        let table = store.heartbeat("a", LEASE, &[held]).await.unwrap();
        let row = &table.lanes[0];
        assert_eq!((row.applied, row.routed), (1, expected), "told {told}");
    }
}

#[tokio::test]
async fn who_has_lost_a_lane_renews_nothing() {
    let place = Place::new().await;
    let store = &place.store;
    let writer = Writer::claim(store, "a", 0).await;
    let epoch = writer.advance.epoch;
    let long = LEASE * 10;
    for (name, epoch) in [("b", epoch), ("a", epoch - 1)] {
        let held = HeldLane {
            lane: Lane(0),
            epoch,
            routed: -1,
        };
        let table = store.heartbeat(name, long, &[held]).await.unwrap();
        assert!(table.lanes[0].ttl_left <= LEASE, "{name} {epoch}");
    }
}

/// An append renews the lanes that it goes through.
#[tokio::test]
async fn an_append_renews_its_lanes() {
    let place = Place::new().await;
    let store = &place.store;
    let mut writer = Writer::claim(store, "a", 0).await;
    writer.create(room(1), &[user(1)]);
    writer.batch.lease = LEASE * 10;
    writer.commit().await;
    let table = store.heartbeat("b", LEASE, &[]).await.unwrap();
    assert!(table.lanes[0].ttl_left > LEASE);
}
