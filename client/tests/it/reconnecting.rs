//! Back at once, elsewhere if need be, and not at all when told so.

use std::time::Duration;

use client::{Ending, Event};
use protocol::{CloseCode, ServerFrame};
use tokio::time::{Instant, sleep, timeout};

use crate::gateway::{Gateway, Peer, connect, nobody, options, room, until, welcome};

fn retry_in(event: &Event) -> Option<Duration> {
    match event {
        Event::Disconnected { retry_in, .. } => Some(*retry_in),
        _ => None,
    }
}

fn ending(event: &Event) -> Option<Ending> {
    match event {
        Event::Disconnected { cause, .. } => Some(cause.clone()),
        _ => None,
    }
}

fn connected(event: &Event) -> Option<client::Connected> {
    match event {
        Event::Connected(connected) => Some(connected.clone()),
        _ => None,
    }
}

#[tokio::test]
async fn a_lost_connection_is_made_again_at_once_on_the_next_gateway() {
    let (one, two) = (Gateway::start().await, Gateway::start().await);
    let (_client, mut events) = connect(vec![one.url(), two.url()]);
    let peer = one.welcome().await;
    assert_eq!(until(&mut events, connected).await.away, None);
    let lost = Instant::now();
    drop(peer);
    assert_eq!(until(&mut events, retry_in).await, Duration::ZERO);
    let _peer = two.welcome().await;
    let connected = until(&mut events, connected).await;
    assert_eq!(connected.url, two.url());
    assert!(
        connected.away.is_some_and(|away| away <= lost.elapsed()),
        "{:?}",
        connected.away
    );
}

#[tokio::test]
async fn who_can_be_reached_nowhere_waits_longer_and_longer() {
    let (_held, url) = nobody();
    let mut options = options(vec![url]);
    (options.backoff, options.backoff_cap) = (Duration::from_millis(4), Duration::from_millis(40));
    let (_client, mut events) = client::Client::connect(options);
    let mut waits = Vec::new();
    for _ in 0..40 {
        waits.push(until(&mut events, retry_in).await);
    }
    assert_eq!(waits[0], Duration::ZERO);
    assert!(
        waits.iter().all(|wait| *wait <= Duration::from_millis(40)),
        "{waits:?}"
    );
    // Full jitter: 30 values from one window are not all alike.
    assert!(
        waits[10..].iter().any(|wait| *wait != waits[10]),
        "{waits:?}"
    );
    assert!(
        waits[10..]
            .iter()
            .any(|wait| *wait > Duration::from_millis(8)),
        "{waits:?}"
    );
}

#[tokio::test]
async fn a_bye_says_when_to_come_back() {
    let gateway = Gateway::start().await;
    let (_client, mut events) = connect(vec![gateway.url()]);
    let mut peer = gateway.welcome().await;
    let told = Instant::now();
    peer.tell(&ServerFrame::Bye {
        code: "going_away".to_owned(),
        retry_after_ms: 120,
    })
    .await;
    peer.close(CloseCode::GoingAway).await;
    assert_eq!(
        until(&mut events, retry_in).await,
        Duration::from_millis(120)
    );
    let _peer = gateway.welcome().await;
    assert!(
        told.elapsed() >= Duration::from_millis(100),
        "{:?}",
        told.elapsed()
    );
}

#[tokio::test]
async fn who_is_replaced_does_not_fight_for_its_place() {
    let gateway = Gateway::start().await;
    let (client, mut events) = connect(vec![gateway.url()]);
    let mut peer = gateway.welcome().await;
    peer.close(CloseCode::Replaced).await;
    let stopped = |event: &Event| match event {
        Event::Stopped { cause } => Some(cause.clone()),
        _ => None,
    };
    let cause = until(&mut events, stopped).await;
    assert_eq!(
        cause,
        Ending::Closed {
            code: 4004,
            reason: "replaced".to_owned()
        }
    );
    assert!(events.next().await.is_none());
    assert_eq!(client.send(room(), "x"), Err(client::SendError::Stopped));
}

/// A half-open connection looks idle: only the missing heartbeat tells.
#[tokio::test]
async fn a_silent_gateway_is_left() {
    let gateway = Gateway::start().await;
    let (_client, mut events) = connect(vec![gateway.url()]);
    let mut peer = gateway.accept().await;
    peer.tell(&welcome(20)).await;
    assert_eq!(until(&mut events, ending).await, Ending::Silent);
}

/// Greeting takes longer than connecting may when many come at once: who leaves then comes again, and makes it worse.
#[tokio::test]
async fn a_greeting_that_takes_its_time_is_waited_for() {
    let gateway = Gateway::start().await;
    let mut options = options(vec![gateway.url()]);
    let limit = Duration::from_secs(5);
    (options.connect_timeout, options.greeting_timeout) = (limit, limit);
    let (_client, mut events) = client::Client::connect(options);
    let mut peer = gateway.accept().await;
    // Longer than either limit in all; pings say that somebody is there.
    let connected = Instant::now();
    while connected.elapsed() <= limit {
        sleep(Duration::from_millis(100)).await;
        peer.ping().await;
    }
    peer.tell(&welcome(25_000)).await;
    let first = events.next().await;
    assert!(matches!(first, Some(Event::Connected(_))), "{first:?}");
}

#[tokio::test]
async fn who_never_greets_is_left() {
    let gateway = Gateway::start().await;
    let mut options = options(vec![gateway.url()]);
    options.greeting_timeout = Duration::from_millis(50);
    let (_client, mut events) = client::Client::connect(options);
    let _peer = gateway.accept().await;
    assert_eq!(until(&mut events, ending).await, Ending::Silent);
}

/// Far more frames than the buffers between take.
const MANY: usize = 50;

/// They are due when the gateway, which reads none by itself, has greeted.
async fn stuck(heartbeat_ms: u64) -> (Gateway, client::Client, client::Events, Peer) {
    let gateway = Gateway::start().await;
    let (client, events) = connect(vec![gateway.url()]);
    let mut peer = gateway.accept().await;
    for _ in 0..MANY {
        client.send(room(), "\u{1F980}".repeat(100_000)).unwrap();
    }
    peer.tell(&welcome(heartbeat_ms)).await;
    (gateway, client, events, peer)
}

#[tokio::test]
async fn who_takes_nothing_is_left_like_the_silent() {
    let (_gateway, _client, mut events, peer) = stuck(20).await;
    assert_eq!(until(&mut events, ending).await, Ending::Silent);
    let rest = peer.rest().await;
    assert!(rest < MANY, "it was not in the middle of writing");
}

#[tokio::test]
async fn close_ends_a_client_that_can_not_write() {
    let (_gateway, client, _events, mut peer) = stuck(25_000).await;
    // It is in the middle of writing.
    peer.sent().await;
    let closed = timeout(Duration::from_secs(20), client.close()).await;
    assert!(closed.is_ok(), "still writing");
}

#[tokio::test]
async fn close_ends_it_and_dropping_the_last_handle_does_too() {
    let gateway = Gateway::start().await;
    let (client, mut events) = connect(vec![gateway.url()]);
    let _peer = gateway.welcome().await;
    client.close().await;
    while events.next().await.is_some() {}

    let (client, mut events) = connect(vec![gateway.url()]);
    let _peer = gateway.welcome().await;
    drop(client);
    while events.next().await.is_some() {}
}
