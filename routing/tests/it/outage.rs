//! Redis paused, gone, and back without its memory. On servers of its own.

use std::time::{Duration, Instant};

use routing::{RouteTable, RoutingError, since_boot};
use stack::{Options, Stack};

use crate::place::{LEASE, Process, connect, eventually, route, user};

#[tokio::test]
async fn a_redis_that_fails_is_told_in_time_and_found_again() {
    let stack = Stack::alone(Options::default()).await.unwrap();
    let server = stack.redis();
    let redis = connect(&stack.addresses().redis_url, "t:");
    let routes = RouteTable::new(&redis);
    let mut a = Process::start(&redis, "a", 4);
    let first = a.held().await;
    let mine = route(first.home.0, first.incarnation);
    routes.write(user(7), "laptop", &mine).await.unwrap();

    // Paused: connected, but silent. The lease is told to be over before it is over in Redis.
    server.pause();
    let paused = since_boot();
    a.unheard().await;
    let told = since_boot() - paused;
    assert!(told < LEASE + LEASE / 2, "told after {told:?}");
    let asked = Instant::now();
    let error = routes.lookup(&[user(8)]).await.unwrap_err();
    assert_eq!(error.label(), "timeout", "{error:?}");
    assert!(asked.elapsed() < Duration::from_secs(2));
    server.resume();
    let second = a.held().await;
    assert_eq!(second.home, first.home);
    assert_eq!(routes.lookup(&[user(8)]).await.unwrap().len(), 1);

    // Killed: every request fails at once, nothing hangs.
    server.kill();
    a.unheard().await;
    let asked = Instant::now();
    for _ in 0..10 {
        assert!(routes.lookup(&[user(9)]).await.is_err());
    }
    assert!(asked.elapsed() < Duration::from_secs(1));

    // Back, and empty: the keeper takes the same home again, above the number that only it knows.
    server.restart().await.unwrap();
    let third = a.held().await;
    assert_eq!(third.home, first.home);
    assert!(third.incarnation > second.incarnation);
    let lookup = || async { routes.lookup(&[user(7)]).await };
    let answer = eventually("an answer", lookup, Result::is_ok)
        .await
        .unwrap();
    assert!(answer[&user(7)].is_empty(), "it has lost its memory");
    // Scripts were forgotten as well.
    routes.write(user(7), "laptop", &mine).await.unwrap();
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_without_showing_the_password() {
    let refuse = |url: &str, key_prefix: &str| {
        let settings = routing::RedisSettings {
            url: url.to_owned(),
            key_prefix: key_prefix.to_owned(),
        };
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
