//! Stopping, and coming back to the same home.

use serde_json::json;

use crate::house::House;

/// I7: SIGTERM says `bye` with a time, closes, releases and exits 0; the next process of the name
/// has the same home, though another was started meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn i7_a_stop_says_bye_and_a_return_finds_its_home() {
    let house = House::new().await;
    let desk = house.desk().await;
    let mut first = house.gateway("first", &[]).await;
    let mut socket = first.session("ann", "phone", &[]).await;
    let (ann, _) = first.token("ann").await;
    let before = desk.routes_of(ann, 1).await[0];
    first.terminate();
    let (code, frames) = socket.closed().await;
    assert_eq!(code, 1001);
    let bye = frames.last().unwrap();
    assert_eq!(
        (&bye["type"], &bye["code"]),
        (&json!("bye"), &json!("going_away"))
    );
    assert!(bye["retry_after_ms"].as_u64().unwrap() < 1_000);
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
