//! Who owns what, and that it stays (I6, I7).

use std::collections::BTreeMap;

use routing::{HomeTable, Redis, RedisSettings};

use super::bench::{Bench, PATIENCE, until};

/// The live owners of homes, as a bystander reads them.
async fn homes(bench: &Bench) -> BTreeMap<String, (i32, i64)> {
    let redis = Redis::connect(&RedisSettings::new(
        bench.space.redis_url(),
        bench.space.key_prefix(),
    ))
    .unwrap();
    let seen = HomeTable::new(&redis, 6).look().await.unwrap();
    seen.table
        .slots
        .into_iter()
        .filter(|slot| !slot.ttl_left.is_zero())
        .filter_map(|slot| Some((slot.owner?, (slot.partition.0, slot.claim))))
        .collect()
}

/// I6, I7: three gateways hold three homes; the one that is killed and restarted gets its own back under a
/// higher incarnation, and nobody else's home or lane moves.
#[tokio::test(flavor = "multi_thread")]
async fn i7_a_restarted_gateway_gets_its_home_back() {
    let bench = Bench::shared(3, 2).await;
    let (homes_before, lanes_before) = (homes(&bench).await, bench.lanes_at_rest(2).await);
    assert_eq!(homes_before.len(), 3, "{homes_before:?}");
    bench.cluster.was(1).restart().await.unwrap();
    let homes_after = homes(&bench).await;
    for name in ["was-1", "was-3"] {
        assert_eq!(homes_after[name], homes_before[name], "{name} moved");
    }
    let (old, new) = (homes_before["was-2"], homes_after["was-2"]);
    assert_eq!(new.0, old.0, "another home");
    assert!(new.1 > old.1, "incarnations grow: {old:?}, {new:?}");
    assert_eq!(bench.lanes().await, lanes_before);
}

/// I7: a classifier that dies leaves its lanes to the others; theirs stay where they are.
#[tokio::test(flavor = "multi_thread")]
async fn i7_only_the_dead_ones_lanes_move() {
    let bench = Bench::shared(1, 3).await;
    let spread = bench.lanes_at_rest(3).await;
    let homes_before = homes(&bench).await;
    bench.cluster.classifier(2).kill();
    let after = until("its lanes taken", PATIENCE, || async {
        let lanes = bench.lanes().await;
        lanes
            .values()
            .all(|owner| owner.as_deref() != Some("classifier-3") && owner.is_some())
            .then_some(lanes)
    })
    .await;
    for (lane, owner) in &spread {
        if owner.as_deref() != Some("classifier-3") {
            assert_eq!(after[lane], *owner, "lane {lane} moved");
        }
    }
    assert_eq!(homes(&bench).await, homes_before);
}
