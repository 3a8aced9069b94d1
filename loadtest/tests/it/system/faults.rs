//! `kill -9` and SIGSTOP under load: nothing lost, doubled or out of order, and it is counted.

use std::time::Duration;

use loadtest::Paced;
use tokio::time::{Instant, sleep, sleep_until};

use super::bench::{Bench, PATIENCE, metric, until};

/// 100 users in 50 pairs before three gateways; nobody is connected.
async fn hundred() -> Bench {
    let mut bench = Bench::shared(3, 2).await;
    bench.scenario.users(100).await.unwrap();
    let pairs = (0..50).map(|n| vec![2 * n, 2 * n + 1]).collect();
    bench.scenario.rooms_of(pairs).await.unwrap();
    bench.lanes_at_rest(2).await;
    bench
}

fn load(seconds: u64) -> Paced {
    Paced {
        rate: 200.0,
        lasting: Duration::from_secs(seconds),
        ..Paced::default()
    }
}

/// I1–I5: a gateway dies with 100 sessions; all come back elsewhere and miss nothing.
#[tokio::test(flavor = "multi_thread")]
async fn i5_kill_9_of_a_gateway_loses_nothing() {
    let mut bench = hundred().await;
    for session in 0..100 {
        bench.scenario.connect_to(session, 0).await.unwrap();
    }
    let load = load(6);
    tokio::join!(bench.scenario.send(&load), async {
        sleep(Duration::from_secs(2)).await; // load on both sides of the fault
        bench.cluster.was(0).kill();
    });
    let verdict = bench.settle_well().await;
    bench.scenario.all_connected(PATIENCE).await.unwrap();
    assert_eq!(verdict.accepted, 1200);
    let away = bench.scenario.away();
    println!("kill -9 of a gateway: {verdict}; {away}");
    assert!(away.count >= 100, "{away}");
}

/// I2, I7: a classifier dies; the other claims its lanes and goes on from `applied`.
#[tokio::test(flavor = "multi_thread")]
async fn i2_kill_9_of_a_classifier_loses_nothing() {
    let mut bench = hundred().await;
    bench.scenario.connect_all().await.unwrap();
    let load = load(7);
    tokio::join!(bench.scenario.send(&load), async {
        sleep(Duration::from_secs(2)).await; // load on both sides of the fault
        bench.cluster.classifier(0).kill();
    });
    let verdict = bench.settle_well().await;
    assert_eq!(verdict.accepted, 1400);
    println!(
        "kill -9 of a classifier: {verdict}; longest pause {:?}",
        bench.scenario.gauge().longest_pause()
    );
}

/// I2: a classifier sleeps for 5 s, over its lease, and wakes up believing that it owns its lanes: its
/// fence fails, nothing is stored twice.
#[tokio::test(flavor = "multi_thread")]
async fn i2_a_paused_classifier_is_fenced() {
    let mut bench = hundred().await;
    bench.scenario.connect_all().await.unwrap();
    let store = bench.store().await;
    let before = store.lane_table().await.unwrap();
    let sleeper = "classifier-1";
    assert!(
        before
            .lanes
            .iter()
            .any(|l| l.owner.as_deref() == Some(sleeper))
    );
    let load = load(9);
    tokio::join!(bench.scenario.send(&load), async {
        sleep(Duration::from_secs(2)).await; // load on both sides of the fault
        bench.cluster.classifier(0).pause();
        let paused = Instant::now();
        until("its lanes taken", PATIENCE, || async {
            let table = store.lane_table().await.ok()?;
            table
                .lanes
                .iter()
                .all(|lane| lane.owner.as_deref() != Some(sleeper))
                .then_some(())
        })
        .await;
        sleep_until(paused + Duration::from_secs(5)).await;
        bench.cluster.classifier(0).resume();
        until("it notices", PATIENCE, || async {
            let lost = metric(bench.cluster.classifier(0), "classifier_lanes_lost_total").await?;
            (lost > 0.0).then_some(())
        })
        .await;
    });
    let verdict = bench.settle_well().await;
    assert_eq!(verdict.accepted, 1800);
    for lane in store.lane_table().await.unwrap().lanes {
        let old = before.lanes.iter().find(|l| l.lane == lane.lane).unwrap();
        if old.owner.as_deref() == Some(sleeper) {
            assert!(lane.epoch > old.epoch, "lane {} was never taken", lane.lane);
        }
    }
    for room in 0..50 {
        let id = bench.scenario.room_at(room).id;
        let seqs = bench.seqs(2 * room, 1, id).await;
        let n = i64::try_from(seqs.len()).unwrap();
        assert_eq!(seqs, (1..=n).collect::<Vec<_>>(), "room {id}");
    }
}
