//! Who owns what, and that it stays (I6, I7).

use std::collections::BTreeMap;

use routing::{HomeTable, Redis, RedisSettings};
use stack::Stack;

use super::bench::{Bench, PATIENCE, metric, until};

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

/// With leases of homes that a machine which stands still for some seconds does not end: nobody here waits for one to end.
async fn bench(was: usize, classifiers: usize) -> Bench {
    let lease = [("SWITCHBOARD_WAS_HOME_LEASE", "6s")];
    let stack = Stack::shared().await.unwrap();
    Bench::with(stack, was, classifiers, &lease).await
}

/// Whether a classifier says that it has lost lanes unasked. Their leases are short, and no setting: on a machine that stood
/// still they have ended, and whoever is first takes what is free.
async fn lost_lanes(bench: &Bench, classifier: usize) -> bool {
    let lost = metric(
        bench.cluster.classifier(classifier),
        "classifier_lanes_lost_total",
    );
    lost.await.unwrap() > 0.0
}

/// I6, I7: three gateways hold three homes; the one that is killed and restarted gets its own back under a
/// higher incarnation, and nobody else's home or lane moves.
#[tokio::test(flavor = "multi_thread")]
async fn i7_a_restarted_gateway_gets_its_home_back() {
    let bench = bench(3, 2).await;
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
    let lanes_after = bench.lanes().await;
    let stood_still = lost_lanes(&bench, 0).await || lost_lanes(&bench, 1).await;
    assert!(
        stood_still || lanes_after == lanes_before,
        "{lanes_before:?} before, {lanes_after:?} after"
    );
}

/// I7: a classifier that dies leaves its lanes to the others; theirs stay where they are.
#[tokio::test(flavor = "multi_thread")]
async fn i7_only_the_dead_ones_lanes_move() {
    let bench = bench(1, 3).await;
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
    let stood_still = lost_lanes(&bench, 0).await || lost_lanes(&bench, 1).await;
    for (lane, owner) in &spread {
        if owner.as_deref() != Some("classifier-3") && !stood_still {
            assert_eq!(after[lane], *owner, "lane {lane} moved");
        }
    }
    assert_eq!(homes(&bench).await, homes_before);
}
