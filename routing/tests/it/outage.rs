//! Redis paused, gone, and back without its memory. On servers of its own.

use std::time::Duration;

use routing::{Lookup, RouteTable, RoutingError};
use stack::{Awake, RedisAlone, RedisKind};

use crate::place::{LEASE, PATIENCE, Process, answered, connect, eventually, route, settled, user};

#[tokio::test]
async fn a_redis_that_fails_is_told_in_time_and_found_again() {
    let servers = RedisAlone::start(RedisKind::One).await.unwrap();
    let server = &servers.all()[0];
    let redis = connect(servers.url(), "t:");
    let routes = RouteTable::new(&redis);
    settled(&redis, 4).await;
    let mut a = Process::start(&redis, "a", 4);
    let first = a.held().await;
    let mine = route(first.home.0, first.incarnation);
    answered(|| routes.write(user(7), "laptop", &mine)).await;

    // Paused: connected, but silent. The lease is told to be over before it is over in Redis.
    server.pause();
    let paused = Awake::since_now();
    a.unheard().await;
    let told = paused.elapsed();
    assert!(told < LEASE + LEASE / 2, "told after {told:?}");
    // Whoever asks first waits for a moment, nobody after that: they are told that nothing is known.
    let asked = Awake::since_now();
    let found = routes.lookup(&[user(8)]).await;
    assert_eq!(found.unknown, [user(8)]);
    assert_eq!(found.failure.unwrap().label(), "timeout");
    assert!(asked.elapsed() < Duration::from_secs(2));
    let asked = Awake::since_now();
    for _ in 0..100 {
        let found = routes.lookup(&[user(7), user(8)]).await;
        assert_eq!(found.failure.unwrap().label(), "away");
        assert_eq!(found.unknown.len(), 2);
    }
    // Waited for, they would take 25 s.
    assert!(asked.elapsed() < Duration::from_secs(5));
    server.resume();
    let second = a.held().await;
    assert_eq!(second.home, first.home);
    let lookup = || async { routes.fresh(&[user(7), user(8)]).await };
    let found = eventually("an answer", lookup, |found| found.unknown.is_empty()).await;
    assert_eq!(*found.known[&user(7)], [mine]);

    // Killed: every request fails at once, nothing hangs.
    server.kill();
    a.unheard().await;
    let asked = Awake::since_now();
    for _ in 0..10 {
        assert_eq!(routes.fresh(&[user(9)]).await.unknown, [user(9)]);
    }
    assert!(asked.elapsed() < PATIENCE);

    // Back, and empty: the keeper takes the same home again, above the number that only it knows.
    server.restart().await.unwrap();
    let third = a.held().await;
    assert_eq!(third.home, first.home);
    assert!(third.incarnation > second.incarnation);
    // Trap 10: it has lost its memory, and so it does not say that nobody is connected.
    let lookup = || async { routes.fresh(&[user(7)]).await };
    let answers = |found: &Lookup| {
        assert!(found.known.is_empty(), "{found:?}");
        found.failure.is_none()
    };
    eventually("an answer", lookup, answers).await;
    // Scripts were forgotten as well.
    answered(|| routes.write(user(7), "laptop", &mine)).await;
    let found = eventually("known", lookup, |found| found.unknown.is_empty()).await;
    assert_eq!(*found.known[&user(7)], [mine]);
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_without_showing_the_password() {
    let refuse = |url: &str, key_prefix: &str| {
        let settings = routing::RedisSettings::new(url, key_prefix);
        assert!(!format!("{settings:?}").contains("secret"));
        match routing::Redis::connect(&settings) {
            Ok(_) => panic!("{url} {key_prefix}"),
            Err(error @ RoutingError::Settings { .. }) => error.to_string(),
            Err(error) => panic!("{error}"),
        }
    };
    let error = refuse("http://user:secret@host", "");
    assert!(
        error.starts_with("redis.url") && !error.contains("secret"),
        "{error}"
    );
    assert!(refuse("redis://127.0.0.1", "{a}").starts_with("redis.key_prefix"));
}
