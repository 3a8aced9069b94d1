//! A Redis Cluster: each node has a part of the shards, and when it dies only they are concerned.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use protocol::UserId;
use routing::{GOOD_AFTER, Markers, Redis, RedisSettings, RouteTable, Shard};
use stack::{RedisAlone, RedisKind};

use crate::place::{Process, answered, believed, eventually, look, route, settled, user};

/// Nodes that stood still for three seconds take each other for dead for a while after it.
const LEASE: Duration = Duration::from_secs(12);

/// I4, trap 10: who has no route because a node has lost its memory is unknown, and only they are; whoever
/// looks at the markers is told which shards those are. The home stands meanwhile.
#[tokio::test]
async fn trap_10_a_node_that_dies_takes_its_own_shards_with_it() {
    let servers = RedisAlone::start(RedisKind::Cluster).await.unwrap();
    let mut settings = RedisSettings::new(servers.url(), "t:");
    settings.cluster = true;
    let redis = Redis::connect(&settings).unwrap();
    let (table, mut markers) = (RouteTable::new(&redis), Markers::new(&redis));
    assert_eq!(look(&mut markers).await.len(), 256, "nothing is known yet");
    settled(&redis, 4).await;
    let mut keeper = Process::with_lease(&redis, "a", 4, LEASE);
    let held = keeper.held().await;
    let all: Vec<UserId> = (1..=256).map(user).collect();
    let mine = route(held.home.0, held.incarnation);
    for each in &all {
        answered(|| table.write(*each, "phone", &mine)).await;
    }
    believed(&redis).await;
    let routes = answered(|| table.current(&all)).await;
    assert!(routes.iter().all(|routes| **routes == [mine]));

    // The last has no part of the table of homes.
    let node = servers.all().last().unwrap();
    node.kill();
    let ask = || async { table.fresh(&all).await };
    let found = eventually("the others' answer", ask, |found| found.known.len() > 128).await;
    assert!(found.failure.is_some());
    let gone: BTreeSet<Shard> = found.unknown.iter().copied().map(Shard::of).collect();
    assert!((60..=110).contains(&gone.len()), "{}", gone.len());
    assert!(found.known.values().all(|routes| **routes == [mine]));
    let looked = markers.look().await;
    assert!(looked.failure.is_some() && looked.lost.is_empty());

    node.restart().await.unwrap();
    let restarted = Instant::now();
    assert_eq!(look(&mut markers).await, gone);
    // A machine that is late with an answer knows nothing of others either, and says so.
    let found = eventually("an answer", ask, |found| found.failure.is_none()).await;
    let unknown: BTreeSet<Shard> = found.unknown.iter().copied().map(Shard::of).collect();
    if restarted.elapsed() < GOOD_AFTER {
        assert_eq!(unknown, gone, "they are not believed yet");
    }
    assert!(unknown.is_subset(&gone));
    let now = keeper.renewed(held).await;
    assert_eq!(now.incarnation, held.incarnation);
    keeper.stop().await;
}
