//! Sessions on a real home: order, gaps, devices, slowness.

use std::time::Duration;

use futures_util::SinkExt as _;
use protocol::{DeliveryHeaders, ServerFrame};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::desk::{room, seq, user};
use crate::house::{House, until};

/// I1: what is accepted is in Kafka, under its room's key, and names where its answer goes.
#[tokio::test(flavor = "multi_thread")]
async fn i1_accepted_is_in_kafka() {
    let house = House::new().await;
    let gateway = house.gateway("was-0", &[]).await;
    let mut desk = house.desk().await;
    let mut socket = gateway.session("ann", "phone", &[]).await;
    let id = Uuid::new_v4();
    socket
        .put(&json!({ "type": "send", "room": 42, "id": id, "body": "hi", "x": 1 }))
        .await;
    let (command, key) = desk.command().await;
    assert_eq!(key, "42");
    assert_eq!(
        (command.id, command.room, command.retry),
        (id, room(42), false)
    );
    assert_eq!(socket.next().await, json!({ "type": "accepted", "id": id }));
    // The answer to a resend arrives at the session, whatever has happened since.
    let stored = ServerFrame::Stored {
        id,
        room: room(42),
        seq: seq(9),
    };
    desk.answer(&command, &stored).await;
    assert_eq!(
        socket.next().await,
        json!({ "type": "stored", "id": id, "room": 42, "seq": 9 })
    );
}

/// I5: missed before connecting, arriving twice, and with a hole: in order, whole, once, the same
/// on both devices of a user.
#[tokio::test(flavor = "multi_thread")]
async fn i5_in_order_whole_once_on_every_device() {
    let house = House::new().await;
    let gateway = house.gateway("was-0", &[]).await;
    let mut desk = house.desk().await;
    let (ann, _) = gateway.token("ann").await;
    desk.create(1, &[ann]).await;
    desk.store(1, ann, &["two", "three"]).await;
    let mut sockets = [
        gateway.session("ann", "phone", &[(1, 1)]).await,
        gateway.session("ann", "desk", &[(1, 1)]).await,
    ];
    let home = desk.routes_of(ann, 2).await[0].home;
    let events = desk.store(1, ann, &["four", "five", "six", "seven"]).await;
    // Five comes without four, then twice; six is lost; a read mark with a large number between.
    desk.send(home, &events[1], &[ann]).await;
    desk.send(home, &events[1], &[ann]).await;
    let mark = ServerFrame::Read {
        room: room(1),
        user: user(ann),
        upto: seq(90),
    };
    desk.record(
        home,
        &DeliveryHeaders::signal(room(1), vec![user(ann)]),
        mark.encode(),
    )
    .await;
    desk.send(home, &events[3], &[ann]).await;
    for socket in &mut sockets {
        let mut seqs = Vec::new();
        let mut marks = 0;
        while seqs.len() < 6 || marks < 1 {
            let frame = socket.next().await;
            if frame["type"] == "read" {
                marks += 1;
            } else {
                seqs.push(frame["seq"].as_i64().unwrap());
            }
        }
        assert_eq!(seqs, [2, 3, 4, 5, 6, 7]);
    }
}

/// I5: to who returns with cursors, a room joined meanwhile is shown since the joining; to a device
/// that has seen nothing, every room from now on.
#[tokio::test(flavor = "multi_thread")]
async fn i5_a_room_joined_while_away_is_shown() {
    let house = House::new().await;
    let gateway = house.gateway("was-0", &[]).await;
    let mut desk = house.desk().await;
    let (ann, token) = gateway.token("ann").await;
    desk.create(1, &[ann]).await;
    desk.create(2, &[ann]).await;
    desk.store(2, ann, &["two"]).await;

    let mut returning = gateway.socket().await;
    returning.hello(&token, "phone", &[(1, 1)]).await;
    let welcome = returning.next().await;
    assert_eq!(welcome["cursors"], json!({ "2": 0 }));
    for seq in 1..=2 {
        let frame = returning.next().await;
        assert_eq!((&frame["room"], &frame["seq"]), (&json!(2), &json!(seq)));
    }
    let mut fresh = gateway.socket().await;
    fresh.hello(&token, "desk", &[]).await;
    let welcome = fresh.next().await;
    assert_eq!(welcome["cursors"], json!({ "1": 1, "2": 2 }));
}

/// I4: what was committed but looked up before the route is found by the settle.
#[tokio::test(flavor = "multi_thread")]
async fn i4_the_settle_finds_what_an_old_look_up_missed() {
    let house = House::new().await;
    let gateway = house.gateway("was-0", &[]).await;
    let mut desk = house.desk().await;
    let (ann, _) = gateway.token("ann").await;
    desk.create(1, &[ann]).await;
    let queries = async || gateway.metric("was_catch_up_sessions_count").await;
    for head in 1..20 {
        let before = queries().await;
        let device = format!("device-{head}");
        // Welcome: the hello's query is through.
        let mut socket = gateway.session("ann", &device, &[(1, head)]).await;
        desk.store(1, ann, &["never sent to the home"]).await;
        // Where the machine stood still meanwhile, the settle may have asked before there was something to find: that
        // shows nothing.
        if queries().await > before + 1 {
            continue;
        }
        let frame = socket.next().await;
        assert_eq!(
            (&frame["seq"], &frame["body"]),
            (&json!(head + 1), &json!("never sent to the home"))
        );
        return;
    }
    panic!("nothing was ever stored between a hello and its settle");
}

/// A newer session of a device closes the older one, also on another gateway; another device stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_session_of_a_device_replaces_the_older() {
    let house = House::new().await;
    let (one, two) = tokio::join!(house.gateway("was-0", &[]), house.gateway("was-1", &[]));
    let desk = house.desk().await;
    let mut phone = one.session("ann", "phone", &[]).await;
    let (ann, _) = one.token("ann").await;
    desk.routes_of(ann, 1).await;
    let mut tablet = one.session("ann", "tablet", &[]).await;
    let _newer = two.session("ann", "phone", &[]).await;
    assert_eq!(phone.closed().await.0, 4004);
    let mut newest = two.session("ann", "phone", &[]).await;
    tablet.silent(Duration::from_millis(200)).await;
    newest.silent(Duration::from_millis(200)).await;
    until("two routes", || async {
        let routes = desk.routes.current(&[user(ann)]).await;
        let routes = routes.map_err(|error| error.to_string())?[0].to_vec();
        if routes.len() == 2 {
            Ok(())
        } else {
            Err(format!("{routes:?}"))
        }
    })
    .await;
}

/// I9: who takes too slowly is closed with its code; others are unharmed.
#[tokio::test(flavor = "multi_thread")]
async fn i9_a_slow_socket_is_closed_and_slows_nobody() {
    let house = House::new().await;
    let gateway = house
        .gateway("was-0", &[("SWITCHBOARD_WAS_QUEUE_FRAMES", "64")])
        .await;
    let desk = house.desk().await;
    let mut slow = gateway.session("ann", "phone", &[]).await;
    let mut quick = gateway.session("bob", "phone", &[]).await;
    let (ann, _) = gateway.token("ann").await;
    let (bob, _) = gateway.token("bob").await;
    let home = desk.routes_of(ann, 1).await[0].home;
    desk.routes_of(bob, 1).await;
    let big = ServerFrame::Error {
        code: protocol::ErrorCode::NotAvailable,
        message: "x".repeat(100_000),
        id: None,
    };
    let headers = DeliveryHeaders::signal(room(1), vec![user(ann), user(bob)]);
    let closed = "was_sockets_closed_total{reason=\"too_slow\"}";
    // How much fits on the way to a socket is the system's to say, here up to hundreds of these.
    for _ in 0..30 {
        for _ in 0..50 {
            desk.record(home, &headers, big.encode()).await;
            quick.next().await;
        }
        if gateway.metric(closed).await > 0 {
            break;
        }
    }
    for (line, expected) in [(closed, 1), ("was_sessions ", 1)] {
        until(line, || async {
            match gateway.metric(line).await {
                value if value == expected => Ok(()),
                value => Err(value.to_string()),
            }
        })
        .await;
    }
    // What it had not read by then may be cut off; a code or an end comes in any case.
    while let Some(Ok(_)) = futures_util::StreamExt::next(&mut slow.0).await {}
    slow.0.send(Message::text("{}")).await.unwrap_err();
}

/// Trap 6: a route to here without a session here is removed, and only that one.
#[tokio::test(flavor = "multi_thread")]
async fn trap_6_a_dead_route_is_removed_and_a_living_one_stays() {
    let house = House::new().await;
    let (gateway, other) = tokio::join!(house.gateway("was-0", &[]), house.gateway("was-1", &[]));
    let mut desk = house.desk().await;
    let _living = gateway.session("ann", "phone", &[]).await;
    let _elsewhere = other.session("bob", "desk", &[]).await;
    let (ann, _) = gateway.token("ann").await;
    let (bob, _) = gateway.token("bob").await;
    let living = desk.routes_of(ann, 1).await[0];
    let elsewhere = desk.routes_of(bob, 1).await[0];
    let dead = routing::Route {
        session: Uuid::new_v4(),
        ..living
    };
    desk.routes.write(user(bob), "phone", &dead).await.unwrap();
    desk.create(1, &[ann, bob]).await;
    let event = desk.store(1, ann, &["hi"]).await.remove(0);
    desk.send(living.home, &event, &[ann, bob]).await;
    until("the dead route is gone", || async {
        let found = desk.routes.current(&[user(ann), user(bob)]).await;
        let found = found.map_err(|error| error.to_string())?;
        let state = format!("{found:?}");
        if *found[0] == [living] && *found[1] == [elsewhere] {
            Ok(())
        } else {
            Err(state)
        }
    })
    .await;
}
