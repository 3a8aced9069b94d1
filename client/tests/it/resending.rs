//! What was said is said until it is answered, with the same id.

use std::time::Duration;

use client::Event;
use protocol::{RejectCode, ServerFrame};
use tokio::time::Instant;

use crate::gateway::{Gateway, connect, message, options, room, seq, until};

fn rejected(event: &Event) -> Option<Option<Duration>> {
    match event {
        Event::Rejected { resend_in, .. } => Some(*resend_in),
        _ => None,
    }
}

/// Trap 11: an outbox emptied on `accepted` loses what the servers lose after it.
#[tokio::test]
async fn trap_11_accepted_does_not_empty_the_outbox() {
    let gateway = Gateway::start().await;
    let (client, mut events) = connect(vec![gateway.url()]);
    let mut peer = gateway.welcome().await;
    let id = client.send(room(), "hello").unwrap();
    assert_eq!(peer.sent().await, (id, false));
    peer.tell(&ServerFrame::Accepted { id }).await;
    until(&mut events, |event| {
        matches!(event, Event::Accepted { .. }).then_some(())
    })
    .await;
    assert_eq!(client.unanswered(), 1);

    drop(peer);
    let mut peer = gateway.welcome().await;
    assert_eq!(
        peer.sent().await,
        (id, true),
        "the same id, and said to be a resend"
    );
    peer.tell(&ServerFrame::Stored {
        id,
        room: room(),
        seq: seq(1),
    })
    .await;
    until(&mut events, |event| {
        matches!(event, Event::Stored { .. }).then_some(())
    })
    .await;
    assert_eq!(client.unanswered(), 0);
}

#[tokio::test]
async fn the_own_message_empties_the_outbox() {
    let gateway = Gateway::start().await;
    let (client, mut events) = connect(vec![gateway.url()]);
    let mut peer = gateway.welcome().await;
    let id = client.send(room(), "hello").unwrap();
    assert_eq!(peer.sent().await, (id, false));
    peer.tell_raw(message(1, id)).await;
    until(&mut events, |event| {
        matches!(event, Event::Message(_)).then_some(())
    })
    .await;
    assert_eq!(client.unanswered(), 0);
}

#[tokio::test]
async fn unavailable_is_unknown_and_sent_again() {
    let gateway = Gateway::start().await;
    let (client, mut events) = connect(vec![gateway.url()]);
    let mut peer = gateway.welcome().await;
    let id = client.send(room(), "hello").unwrap();
    assert_eq!(peer.sent().await, (id, false));
    peer.refuse(id, RejectCode::Unavailable, None).await;
    assert!(until(&mut events, rejected).await.is_some());
    assert_eq!(peer.sent().await, (id, true));
    assert_eq!(client.unanswered(), 1);
}

#[tokio::test]
async fn rate_limited_waits_as_long_as_it_is_told() {
    let gateway = Gateway::start().await;
    let (client, mut events) = connect(vec![gateway.url()]);
    let mut peer = gateway.welcome().await;
    let id = client.send(room(), "hello").unwrap();
    peer.sent().await;
    peer.refuse(id, RejectCode::RateLimited, Some(30)).await;
    assert_eq!(
        until(&mut events, rejected).await,
        Some(Duration::from_millis(30))
    );
    assert_eq!(peer.sent().await, (id, true));
}

/// One rejected command holds those behind it: otherwise they overtake it, or all come back at once.
#[tokio::test]
async fn rate_limited_holds_the_whole_outbox_in_order() {
    let gateway = Gateway::start().await;
    let (client, mut events) = connect(vec![gateway.url()]);
    let mut peer = gateway.welcome().await;
    let mut ids = Vec::new();
    for text in ["one", "two", "three"] {
        let id = client.send(room(), text).unwrap();
        assert_eq!(peer.sent().await, (id, false));
        ids.push(id);
    }
    let told = Instant::now();
    for id in ids[1..].iter().copied() {
        peer.refuse(id, RejectCode::RateLimited, Some(200)).await;
        assert!(until(&mut events, rejected).await.is_some());
    }
    let fourth = client.send(room(), "four").unwrap();
    let mut came = Vec::new();
    for _ in 0..3 {
        came.push((peer.sent().await, told.elapsed()));
    }
    let order: Vec<_> = came.iter().map(|(sent, _)| *sent).collect();
    assert_eq!(order, [(ids[1], true), (ids[2], true), (fourth, false)]);
    // Not before it was told, then 20 a second; less a timer's grain.
    for ((_, after), earliest) in came.iter().zip([199, 249, 299]) {
        assert!(after.as_millis() >= earliest, "{came:?}");
    }
}

#[tokio::test]
async fn a_final_refusal_is_final() {
    let gateway = Gateway::start().await;
    let (client, mut events) = connect(vec![gateway.url()]);
    let mut peer = gateway.welcome().await;
    let id = client.send(room(), "hello").unwrap();
    peer.sent().await;
    peer.refuse(id, RejectCode::NotMember, None).await;
    assert_eq!(until(&mut events, rejected).await, None);
    assert_eq!(client.unanswered(), 0);
}

/// The answer itself may be what was lost, on a connection that stands.
#[tokio::test]
async fn what_stays_unanswered_is_sent_again() {
    let gateway = Gateway::start().await;
    let mut options = options(vec![gateway.url()]);
    options.resend_after = Duration::from_millis(50);
    let (client, _events) = client::Client::connect(options);
    let mut peer = gateway.welcome().await;
    let id = client.send(room(), "hello").unwrap();
    assert_eq!(peer.sent().await, (id, false));
    assert_eq!(peer.sent().await, (id, true));
}

#[tokio::test]
async fn what_was_said_while_away_goes_out_in_order() {
    let gateway = Gateway::start().await;
    let (client, _events) = connect(vec![gateway.url()]);
    let ids: Vec<_> = (0..5)
        .map(|number| client.send(room(), format!("{number}")).unwrap())
        .collect();
    let mut peer = gateway.welcome().await;
    for id in ids {
        assert_eq!(peer.sent().await, (id, false));
    }
}

/// Trap 14: large frames leave in fragments; the other side sees one message.
#[tokio::test]
async fn a_large_message_arrives_whole() {
    let gateway = Gateway::start().await;
    let (client, _events) = connect(vec![gateway.url()]);
    let mut peer = gateway.welcome().await;
    let body = "ä".repeat(100_000);
    client.send(room(), body.clone()).unwrap();
    match peer.read().await {
        protocol::ClientFrame::Send { body: arrived, .. } => assert!(arrived == body),
        other => panic!("{other:?}"),
    }
}
