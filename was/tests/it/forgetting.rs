//! A Redis that forgets what it was told, behind everybody's back.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::desk::user;
use crate::house::{House, until};
use crate::stewards::SHORT;

/// What heals "in seconds", on a busy machine too: below the 60 s after which the first audit comes.
const SECONDS: Duration = Duration::from_secs(45);

/// Deletes the keys of this installation that match.
async fn forget(house: &House, pattern: &str) {
    let url = house.space.redis_url();
    let address = url.strip_prefix("redis://").unwrap();
    let address = address.split('/').next().unwrap();
    let mut redis = TcpStream::connect(address).await.unwrap();
    let script = "local n = 0 \
        for _, key in ipairs(redis.call('KEYS', ARGV[1])) do n = n + redis.call('DEL', key) end \
        return n";
    let pattern = format!("{}{pattern}", house.space.key_prefix());
    let mut command = format!("*4\r\n$4\r\nEVAL\r\n${}\r\n{script}\r\n", script.len());
    command.push_str(&format!("$1\r\n0\r\n${}\r\n{pattern}\r\n", pattern.len()));
    redis.write_all(command.as_bytes()).await.unwrap();
    let mut answer = [0; 64];
    let read = redis.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    let removed = answer.trim().strip_prefix(':').map(str::parse::<u32>);
    assert!(matches!(removed, Some(Ok(1..))), "{answer}");
}

/// I4: everything is forgotten. The home is claimed anew, every route is written again, and what
/// was stored meanwhile is read, without a session being sent away.
#[tokio::test(flavor = "multi_thread")]
async fn i4_a_flushed_redis_is_rebuilt_under_the_sessions() {
    let house = House::new().await;
    let mut desk = house.desk().await;
    // It looks each quarter of a lease whether it has its home.
    let gateway = house.gateway("was-0", &SHORT).await;
    let (ann, _) = gateway.token("ann").await;
    desk.create(1, &[ann]).await;
    let mut phone = gateway.session("ann", "phone", &[(1, 1)]).await;
    let before = desk.routes_of(ann, 1).await[0];

    let begun = Instant::now();
    forget(&house, "*").await;
    // Nobody finds a route: stored, and sent to nobody.
    desk.store(1, ann, &["meanwhile"]).await;
    assert_eq!(phone.next().await["seq"], 2);
    let after = desk.newer_route(ann, &before).await;
    assert_eq!((after.home, after.session), (before.home, before.session));
    assert!(begun.elapsed() < SECONDS);
    let event = desk.store(1, ann, &["after"]).await.remove(0);
    desk.send(after.home, &event, &[ann]).await;
    assert_eq!(phone.next().await["seq"], 3);
}

/// I4: one route is deleted behind everybody's back, marker and home stay: it is looked for.
#[tokio::test(flavor = "multi_thread")]
async fn i4_one_lost_route_is_found_in_seconds() {
    let house = House::new().await;
    let mut desk = house.desk().await;
    let gateway = house.gateway("was-0", &[]).await;
    let (ann, _) = gateway.token("ann").await;
    desk.create(1, &[ann]).await;
    let mut phone = gateway.session("ann", "phone", &[(1, 1)]).await;
    let before = desk.routes_of(ann, 1).await[0];

    let begun = Instant::now();
    forget(&house, &format!("route:*:{ann}")).await;
    desk.store(1, ann, &["meanwhile"]).await;
    until("the route", || async {
        match desk.routes.current(&[user(ann)]).await {
            Ok(found) if *found[0] == [before] => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(phone.next().await["seq"], 2);
    assert!(begun.elapsed() < SECONDS);
    assert_eq!(gateway.metric("was_rebuilds_total").await, 0);
    assert_eq!(gateway.metric("was_routes_restored_total").await, 0);
    assert_eq!(gateway.metric("was_route_shards_lost_total").await, 0);
}

/// Trap 17, I4: a shard has lost its memory, the home has not. Whoever is the first to find the marker
/// missing sets it anew: the gateway notices, also if it was another.
#[tokio::test(flavor = "multi_thread")]
async fn trap_17_i4_a_shard_that_was_lost_is_written_again() {
    let house = House::new().await;
    let mut desk = house.desk().await;
    let gateway = house.gateway("was-0", &[]).await;
    let (ann, _) = gateway.token("ann").await;
    desk.create(1, &[ann]).await;
    let _phone = gateway.session("ann", "phone", &[(1, 1)]).await;
    let before = desk.routes_of(ann, 1).await[0];
    // Who has not seen the marker that was can't know that it is another.
    until("the gateway's own look", || async {
        let looks = "redis_requests_total{outcome=\"ok\",request=\"read_markers\"}";
        match gateway.metric(looks).await {
            0 => Err("none"),
            _ => Ok(()),
        }
        .map_err(str::to_owned)
    })
    .await;
    let mut others = desk.markers();
    assert!(others.look().await.failure.is_none());

    let shard = routing::Shard::of(user(ann));
    forget(&house, &format!("route:{shard}*")).await;
    let looked = others.look().await;
    assert_eq!(looked.lost, [shard], "{looked:?}");
    until("noticed", || async {
        match gateway.metric("was_route_shards_lost_total").await {
            1 => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
    until("the route", || async {
        match desk.routes.current(&[user(ann)]).await {
            Ok(found) if *found[0] == [before] => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
