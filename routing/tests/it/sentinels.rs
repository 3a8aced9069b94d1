//! A primary with a replica and sentinels: who takes its place is followed, and what it lacks is noticed.

use std::time::{Duration, Instant};

use redis::AsyncCommands as _;
use routing::{HomeState, Markers, Redis, RedisSettings, RouteTable, since_boot};
use stack::{RedisAlone, RedisKind, RedisServers};

use crate::place::{
    PATIENCE, Process, SHORT, answered, connection, eventually, route, settled, user,
};

/// Looks until the markers could be read: how many were lost, and whether the others are doubted.
async fn look(markers: &mut Markers) -> (usize, bool) {
    let (begun, mut found) = (Instant::now(), (0, false));
    loop {
        let looked = markers.look().await;
        found = (found.0 + looked.lost.len(), found.1 | looked.doubtful);
        if looked.failure.is_none() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{:?}", looked.failure);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_older_copy_that_takes_over_is_doubted() {
    let servers = RedisAlone::start(RedisKind::Sentinel).await.unwrap();
    let mut settings = RedisSettings::new(servers.url(), "t:");
    settings.sentinel_master = Some(RedisServers::master().to_owned());
    let redis = Redis::connect(&settings).unwrap();
    let (table, mut markers) = (RouteTable::new(&redis), Markers::new(&redis));
    assert_eq!(look(&mut markers).await, (256, false));
    settled(&redis, 4).await;
    let mut keeper = Process::with_lease(&redis, "a", 4, SHORT);
    let held = keeper.held().await;
    let mine = route(held.home.0, held.incarnation);
    for each in [7, 8] {
        answered(|| table.write(user(each), "phone", &mine)).await;
    }
    assert_eq!(look(&mut markers).await, (0, false));

    // The replica has not heard of the last route: its marker is the same all the same.
    servers.followed().await.unwrap();
    let mut replica = connection(&servers.urls()[1]).await;
    let mut behind = redis::cmd("CONFIG");
    behind.arg("SET").arg("replica-read-only").arg("no");
    behind.exec_async(&mut replica).await.unwrap();
    let forgets = || {
        let mut replica = replica.clone();
        async move { replica.del::<_, u8>("t:route:{r8}:8").await.unwrap() }
    };
    eventually("it had it", forgets, |deleted| *deleted == 1).await;
    servers.all()[0].kill();

    // A second until the sentinels believe it, and an election; and the half minute for which they do nothing
    // after their machine stood still.
    let primary = || async {
        servers
            .primary()
            .await
            .map(|server| server.name().to_owned())
    };
    let next = |name: &Result<String, _>| name.as_deref().is_ok_and(|name| name == "redis-2");
    eventually("the sentinels know", primary, next)
        .await
        .unwrap();
    // Its lease may have ended meanwhile, or not: it has it from the new primary, which alone is there.
    let known = since_boot();
    let followed =
        |state: &HomeState| matches!(state, HomeState::Held(held) if held.until > known + SHORT);
    let state = || async { keeper.state.borrow().clone() };
    let again = eventually("it is followed", state, followed).await;
    assert!(
        matches!(&again, HomeState::Held(again) if again.home == held.home),
        "{again:?}"
    );
    assert_eq!(look(&mut markers).await, (0, true));
    assert_eq!(look(&mut markers).await, (0, false), "once");
    let both = [user(7), user(8)];
    let routes = answered(|| table.current(&both)).await;
    assert_eq!((&*routes[0], &*routes[1]), (&[mine][..], &[][..]));
    // It is written to.
    answered(|| table.write(user(8), "phone", &mine)).await;
    keeper.stop().await;
}
