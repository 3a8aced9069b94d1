//! What a session here has not confirmed: told in another way when it ends, and read again.

use std::collections::BTreeSet;

use protocol::Home;
use rustix::process::Signal;
use serde_json::json;

use crate::desk::Desk;
use crate::house::{Gateway, House, PATIENCE, until};
use crate::socket::Socket;
use crate::stewards::{Pushes, committed};

/// Pings that come soon, though not before a busy machine has done its part: the third closes a socket that has not
/// answered.
const PING: [(&str, &str); 1] = [("SWITCHBOARD_WAS_PING_EVERY", "3s")];

/// Ann and Bob in a room, and Bob's session.
async fn room_of_two(desk: &mut Desk, gateway: &Gateway) -> (i64, i64, Socket) {
    let (ann, _) = gateway.token("ann").await;
    let (bob, _) = gateway.token("bob").await;
    desk.create(1, &[ann, bob]).await;
    let socket = gateway.session("bob", "phone", &[(1, 1)]).await;
    (ann, bob, socket)
}

/// An event that is written to two: to Bob's session, who reads nothing, and to Carol's, who has read it.
async fn written_to_two(desk: &mut Desk, gateway: &Gateway) -> (i64, Home, Socket, Socket) {
    let (ann, bob, deaf) = room_of_two(desk, gateway).await;
    let (carol, _) = gateway.token("carol").await;
    let mut living = gateway.session("carol", "phone", &[(1, 1)]).await;
    let home = desk.routes_of(bob, 1).await[0].home;
    desk.routes_of(carol, 1).await;
    let event = desk.store(1, ann, &["hi"]).await.remove(0);
    desk.send(home, &event, &[bob, carol]).await;
    assert_eq!(living.next().await["seq"], 2);
    (bob, home, deaf, living)
}

/// Waits until a metric has this value.
async fn counted(gateway: &Gateway, line: &str, wanted: i64) {
    until(line, || async {
        match gateway.metric(line).await {
            value if value == wanted => Ok(()),
            value => Err(value.to_string()),
        }
    })
    .await;
}

async fn pushed(pushes: &mut Pushes, wanted: &[(i64, i64)]) {
    let wanted: BTreeSet<_> = wanted.iter().copied().collect();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let now = pushes.now();
        if now == wanted {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{now:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// I8, trap 5: a client that answers no ping any more (its network has gone) was written to, and not
/// told. When its session ends it is pushed, and only then the home's offset moves past the record. One
/// that answers is not pushed.
#[tokio::test(flavor = "multi_thread")]
async fn i8_trap_5_a_half_open_socket_is_pushed() {
    let house = House::new().await;
    let mut desk = house.desk().await;
    let gateway = house.gateway("was-0", &PING).await;
    let (bob, home, deaf, mut living) = written_to_two(&mut desk, &gateway).await;
    let answering = tokio::spawn(async move { living.closed().await });
    counted(&gateway, "was_deliveries_total{outcome=\"written\"}", 2).await;

    let mut pushes = Pushes::of(&house);
    assert_eq!(pushes.now(), BTreeSet::new(), "it may be alive");
    pushed(&mut pushes, &[(bob, 2)]).await;
    committed(&house, home).await;
    let lost = "was_sockets_closed_total{reason=\"heartbeat_lost\"}";
    counted(&gateway, lost, 1).await;
    counted(&gateway, "was_custody_total{outcome=\"pushed\"}", 1).await;
    counted(&gateway, "was_custody_total{outcome=\"confirmed\"}", 1).await;
    counted(&gateway, "was_in_custody", 0).await;
    assert!(!answering.is_finished(), "who answers stays");
    answering.abort();
    drop(deaf);
}

/// I8: a gateway that died reads again, when it is back, what no client had confirmed, and nothing that
/// one had: who is not there is pushed, whoever reads the home.
#[tokio::test(flavor = "multi_thread")]
async fn i8_a_restarted_gateway_reads_again_what_was_not_confirmed() {
    let house = House::new().await;
    let mut desk = house.desk().await;
    let mut gateway = house.gateway("was-0", &PING).await;
    let (ann, bob, mut socket) = room_of_two(&mut desk, &gateway).await;
    let home = desk.routes_of(bob, 1).await[0].home;
    let event = desk.store(1, ann, &["confirmed"]).await.remove(0);
    desk.send(home, &event, &[bob]).await;
    assert_eq!(socket.next().await["seq"], 2);
    // It answers pings only while it is read.
    tokio::select! {
        frame = socket.next() => panic!("{frame}"),
        () = committed(&house, home) => {}
    }
    // Stored only now: the session's settle would have brought it.
    let event = desk.store(1, ann, &["not"]).await.remove(0);
    desk.send(home, &event, &[bob]).await;
    counted(&gateway, "was_deliveries_total{outcome=\"written\"}", 2).await;
    gateway.signal(Signal::KILL);
    gateway.child.wait().await.unwrap();

    let mut pushes = Pushes::of(&house);
    assert_eq!(pushes.now(), BTreeSet::new());
    let again = house.gateway("was-0", &PING).await;
    pushed(&mut pushes, &[(bob, 3)]).await;
    desk.routes_of(bob, 0).await;
    committed(&house, home).await;
    let mut socket = again.session("bob", "phone", &[(1, 2)]).await;
    assert_eq!(socket.next().await["body"], json!("not"));
}

/// I8: a stop hands on what its sessions had not confirmed, and commits it, before the home is released.
/// Who reads on until the close has everything, and answers the ping before it: there is nothing to push.
#[tokio::test(flavor = "multi_thread")]
async fn i8_a_stop_leaves_nothing_unconfirmed() {
    let house = House::new().await;
    let mut desk = house.desk().await;
    let at_once = [("SWITCHBOARD_WAS_DRAIN_SPREAD", "0s")];
    let mut gateway = house.gateway("was-0", &at_once).await;
    let (bob, home, deaf, mut living) = written_to_two(&mut desk, &gateway).await;
    counted(&gateway, "was_deliveries_total{outcome=\"written\"}", 2).await;
    gateway.signal(Signal::TERM);
    assert_eq!(living.closed().await.0, 1001);
    // The answer to the close leaves with the next read.
    assert_eq!(living.ended("after the close").await, None);
    let ended = tokio::time::timeout(PATIENCE, gateway.child.wait()).await;
    assert_eq!(ended.unwrap().unwrap().code(), Some(0));
    committed(&house, home).await;
    let mut pushes = Pushes::of(&house);
    pushed(&mut pushes, &[(bob, 2)]).await;
    drop(deaf);
}
