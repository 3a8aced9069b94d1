//! The partition that every gateway reads: what is for users of whom the classifier knew nothing.

use std::time::Duration;

use bytes::Bytes;
use protocol::{DeliveryHeaders, Event, Home, ServerFrame};
use service::kafka::Consumer;

use crate::desk::{Desk, room, user};
use crate::house::{Gateway, House, PATIENCE, until};

const EVERYWHERE: Home = Home(protocol::BROADCAST);

/// Sends to all gateways, as the classifier does.
async fn broadcast(desk: &Desk, headers: DeliveryHeaders, frame: Bytes) {
    let blind = DeliveryHeaders {
        blind: true,
        ..headers
    };
    desk.record(EVERYWHERE, &blind, frame).await;
}

async fn typing(desk: &Desk, by: i64, to: &[i64]) {
    let to = to.iter().map(|id| user(*id)).collect();
    let (room, user) = (room(1), user(by));
    let frame = ServerFrame::Typing { room, user }.encode();
    broadcast(desk, DeliveryHeaders::signal(room, to), frame).await;
}

async fn everywhere(desk: &Desk, event: &Event, to: &[i64]) {
    let to = to.iter().map(|id| user(*id)).collect();
    let headers = DeliveryHeaders::event(event.room, event.seq, to);
    broadcast(desk, headers, event.to_frame()).await;
}

async fn has_read(gateway: &Gateway, records: i64) {
    until("broadcasts", || async {
        match gateway.metric("was_broadcast_records_total").await {
            read if read == records => Ok(()),
            read => Err(read.to_string()),
        }
    })
    .await;
}

/// Every gateway takes out what is for its sessions, in the order of the room (I5) and together with
/// what comes over its home, and does nothing about anybody else: no route is removed, nobody is
/// counted as absent, no offset is committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_reaches_sessions_on_every_gateway() {
    let house = House::new().await;
    let mut desk = house.desk().await;
    let (one, two) = tokio::join!(house.gateway("was-0", &[]), house.gateway("was-1", &[]));
    let (ann, _) = one.token("ann").await;
    let (bob, _) = one.token("bob").await;
    let (eve, _) = one.token("eve").await;
    desk.create(1, &[ann, bob, eve]).await;
    let mut anns = one.session("ann", "phone", &[(1, 1)]).await;
    let mut bobs = two.session("bob", "phone", &[(1, 1)]).await;
    // A route without a session: nobody's business here.
    let home = desk.routes_of(ann, 1).await[0];
    let dead = routing::Route {
        session: uuid::Uuid::new_v4(),
        ..home
    };
    desk.routes.write(user(eve), "phone", &dead).await.unwrap();

    let all = [ann, bob, eve];
    let events = desk.store(1, eve, &["blind", "known", "blind again"]).await;
    everywhere(&desk, &events[0], &all).await;
    assert_eq!(anns.next().await["seq"], 2);
    assert_eq!(bobs.next().await["seq"], 2);
    desk.send(home.home, &events[1], &[ann]).await;
    assert_eq!(anns.next().await["seq"], 3);
    // Ann has had the third; for Bob it is a hole.
    everywhere(&desk, &events[2], &all).await;
    assert_eq!(anns.next().await["seq"], 4);
    assert_eq!(bobs.next().await["seq"], 3);
    assert_eq!(bobs.next().await["seq"], 4);
    // One that was sent twice is seen once.
    everywhere(&desk, &events[2], &all).await;
    typing(&desk, eve, &all).await;
    assert_eq!(anns.next().await["type"], "typing");
    assert_eq!(bobs.next().await["type"], "typing");

    for gateway in [&one, &two] {
        has_read(gateway, 4).await;
        let absent = "was_deliveries_total{outcome=\"absent\"}";
        assert_eq!(gateway.metric(absent).await, 0);
        assert_eq!(gateway.metric("was_routes_pruned_total").await, 0);
    }
    assert_eq!(desk.routes_of(eve, 1).await, [dead]);
    let group = Consumer::start(&house.kafka, "was", "looks").unwrap();
    let topics = house.kafka.topics();
    let committed = group
        .committed(topics.receive(), EVERYWHERE.0, PATIENCE)
        .await;
    assert_eq!(committed.unwrap(), None);
}

/// A gateway begins at the end that was there before its first session: what is older is for sessions
/// that are no more, and all that is newer is read.
#[tokio::test(flavor = "multi_thread")]
async fn broadcasts_are_read_from_the_end_before_the_first_session() {
    let house = House::new().await;
    let desk = house.desk().await;
    let before = house.gateway("was-0", &[]).await;
    let (ann, _) = before.token("ann").await;
    let (old, new) = (1_000_001, 1_000_002);
    typing(&desk, old, &[ann]).await;
    has_read(&before, 1).await;
    let gateway = house.gateway("was-1", &[]).await;
    // Ready, so where it begins is a number: whatever comes from now on is read.
    typing(&desk, new, &[ann]).await;
    has_read(&before, 2).await;
    has_read(&gateway, 1).await;
    let mut phone = gateway.session("ann", "phone", &[]).await;
    phone.silent(Duration::from_millis(100)).await;
    typing(&desk, new, &[ann]).await;
    assert_eq!(phone.next().await["user"], new);
}
