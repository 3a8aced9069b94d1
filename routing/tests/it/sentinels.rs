//! A primary with a replica and sentinels: who takes its place is followed, and what it lacks is noticed.

use std::time::{Duration, Instant};

use redis::AsyncCommands as _;
use routing::{Markers, Redis, RedisSettings, RouteTable};
use stack::{RedisAlone, RedisKind, RedisServers};

use crate::place::{PATIENCE, Process, eventually, route, user};

/// From the death of the primary until its place is taken: a second until the sentinels believe it, and an
/// election; and the half minute for which sentinels do nothing after their machine stood still.
const SOON: Duration = Duration::from_secs(45);

#[tokio::test]
async fn an_older_copy_that_takes_over_is_doubted() {
    let servers = RedisAlone::start(RedisKind::Sentinel).await.unwrap();
    let mut settings = RedisSettings::new(servers.url(), "t:");
    settings.sentinel_master = Some(RedisServers::master().to_owned());
    let redis = Redis::connect(&settings).unwrap();
    let (table, mut markers) = (RouteTable::new(&redis), Markers::new(&redis));
    let first = markers.look().await;
    assert_eq!(
        (first.lost.len(), first.doubtful),
        (256, false),
        "{first:?}"
    );
    // Over before the sentinels have agreed.
    let mut keeper = Process::with_lease(&redis, "a", 4, Duration::from_secs(1));
    let held = keeper.held().await;
    let mine = route(held.home.0, held.incarnation);
    for each in [7, 8] {
        table.write(user(each), "phone", &mine).await.unwrap();
    }
    let looked = markers.look().await;
    assert!(looked.lost.is_empty() && !looked.doubtful, "{looked:?}");

    // The replica has not heard of the last route: its marker is the same all the same.
    servers.followed().await.unwrap();
    let replica = redis::Client::open(servers.urls()[1].as_str()).unwrap();
    let mut replica = replica.get_multiplexed_async_connection().await.unwrap();
    let mut behind = redis::cmd("CONFIG");
    behind.arg("SET").arg("replica-read-only").arg("no");
    behind.exec_async(&mut replica).await.unwrap();
    let begun = Instant::now();
    while replica.del::<_, u8>("t:route:{r8}:8").await.unwrap() == 0 {
        assert!(begun.elapsed() < PATIENCE, "it never had it");
    }
    servers.all()[0].kill();

    let begun = Instant::now();
    keeper.unheard().await;
    let again = keeper.held().await;
    assert!(
        begun.elapsed() < SOON,
        "followed after {:?}",
        begun.elapsed()
    );
    assert_eq!(again.home, held.home);
    let primary = || async { servers.primary().await.unwrap().name().to_owned() };
    eventually("all sentinels know", primary, |name| name == "redis-2").await;
    let looked = markers.look().await;
    assert!(
        looked.failure.is_none() && looked.lost.is_empty() && looked.doubtful,
        "{looked:?}"
    );
    let looked = markers.look().await;
    assert!(
        looked.failure.is_none() && !looked.doubtful,
        "once: {looked:?}"
    );
    let routes = table.current(&[user(7), user(8)]).await.unwrap();
    assert_eq!((&*routes[0], &*routes[1]), (&[mine][..], &[][..]));
    // It is written to.
    table.write(user(8), "phone", &mine).await.unwrap();
    keeper.stop().await;
}
