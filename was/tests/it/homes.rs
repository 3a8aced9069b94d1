//! Stopping, and coming back to the same home.

use routing::HomeTable;
use rustix::process::Signal;
use serde_json::json;

use crate::house::{HOMES, House, until};
use crate::stewards::SHORT;

/// I7: SIGTERM says `bye` with a time, closes, releases and exits 0; the next process of the name
/// has the same home, though another was started meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn i7_a_stop_says_bye_and_a_return_finds_its_home() {
    let house = House::new().await;
    let desk = house.desk().await;
    let at_once = [("SWITCHBOARD_WAS_DRAIN_SPREAD", "0s")];
    let mut first = house.gateway("first", &at_once).await;
    let mut socket = first.session("ann", "phone", &[]).await;
    let (ann, _) = first.token("ann").await;
    let before = desk.routes_of(ann, 1).await[0];
    first.signal(Signal::TERM);
    let (code, frames) = socket.closed().await;
    assert_eq!(code, 1001);
    let bye = frames.last().unwrap();
    assert_eq!(
        (&bye["type"], &bye["code"]),
        (&json!("bye"), &json!("going_away"))
    );
    assert!(bye["retry_after_ms"].as_u64().unwrap() < 200);
    let ended = tokio::time::timeout(crate::house::PATIENCE, first.child.wait()).await;
    assert_eq!(ended.unwrap().unwrap().code(), Some(0));
    desk.routes_of(ann, 0).await;

    let other = house.gateway("second", &[]).await;
    let _there = other.session("bob", "phone", &[]).await;
    let (bob, _) = other.token("bob").await;
    assert_ne!(desk.routes_of(bob, 1).await[0].home, before.home);
    let again = house.gateway("first", &[]).await;
    let _here = again.session("ann", "phone", &[]).await;
    let after = desk.routes_of(ann, 1).await[0];
    assert_eq!(after.home, before.home);
    assert!(after.incarnation > before.incarnation);
}

/// I6: a gateway that was paused for longer than its lease claims its home anew; sessions of the
/// claim that ended stay, and miss nothing.
#[tokio::test(flavor = "multi_thread")]
async fn i6_a_paused_gateway_claims_anew_and_its_sessions_stay() {
    let house = House::new().await;
    let mut desk = house.desk().await;
    let gateway = house.gateway("was-0", &SHORT).await;
    let (ann, _) = gateway.token("ann").await;
    desk.create(1, &[ann]).await;
    let mut socket = gateway.session("ann", "phone", &[(1, 1)]).await;
    let before = desk.routes_of(ann, 1).await[0];
    gateway.signal(Signal::STOP);
    // One comes over the home, one is only stored: nobody found a route.
    let missed = desk.store(1, ann, &["sent", "only stored"]).await;
    desk.send(before.home, &missed[0], &[ann]).await;
    let table = HomeTable::new(&house.redis(), HOMES);
    until("the lease has ended", || async {
        let view = table.look().await.map_err(|error| error.to_string())?;
        let mut slots = view.table.slots.into_iter();
        match slots.find(|slot| slot.partition == before.home) {
            Some(slot) if slot.ttl_left.is_zero() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    gateway.signal(Signal::CONT);
    assert_eq!(socket.next().await["seq"], 2);
    assert_eq!(socket.next().await["seq"], 3);
    let after = desk.newer_route(ann, &before).await;
    assert_eq!(after.home, before.home);
    assert_eq!(after.session, before.session);
    let event = desk.store(1, ann, &["after"]).await.remove(0);
    desk.send(after.home, &event, &[ann]).await;
    assert_eq!(socket.next().await["seq"], 4);
    assert_eq!(gateway.metric("was_rebuilds_total").await, 1);
}

/// I6: a gateway whose home another process of its name has taken sends its sessions away, rather
/// than leave them open and deaf.
#[tokio::test(flavor = "multi_thread")]
async fn i6_sessions_of_a_taken_home_are_sent_away() {
    let house = House::new().await;
    // The first looks each quarter of it whether it has its home still; the second must not lose it.
    let lease = [("SWITCHBOARD_WAS_HOME_LEASE", "8s")];
    let first = house.gateway("twin", &lease).await;
    let mut socket = first.session("ann", "phone", &[]).await;
    let second = house.gateway("twin", &lease).await;
    let (code, frames) = socket.closed().await;
    assert_eq!(code, 1001);
    assert_eq!(frames.last().unwrap()["type"], "bye");
    assert_eq!(first.readiness().await.0, 503);
    let _there = second.session("ann", "phone", &[]).await;
}

/// A number of homes that is not the topic's is told at the start, with both numbers.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_number_of_homes_is_told() {
    let house = House::new().await;
    let mut child = house.process("was-0", &[("SWITCHBOARD_HOMES", "9")]).child;
    let ended = tokio::time::timeout(crate::house::PATIENCE, child.wait()).await;
    assert_eq!(ended.unwrap().unwrap().code(), Some(1));
    let log = house.log("was-0");
    assert!(log.contains("homes = 9"), "{log}");
    assert!(log.contains("has 5 partitions"), "{log}");
}
