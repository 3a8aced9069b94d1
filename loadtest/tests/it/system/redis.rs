//! Redis stands still, and forgets, while messages flow.

use std::time::Duration;

use loadtest::Paced;
use stack::{Awake, RedisAlone, RedisKind};
use tokio::time::sleep;

use super::bench::{Bench, PATIENCE, metric, until};

/// Over the lease of a home, so that gateways lose theirs.
const STILL: Duration = Duration::from_secs(4);
/// What follows on that is over in this time.
const AFTER: Duration = Duration::from_millis(2_500);
/// Nobody hears anything for less than this: who waited for Redis would hear nothing for as long as it is still. A look-up
/// waits for 0.25 s, once; the rest is for the machine. While that stands still nobody can hear anything, so what this very
/// process could not run for comes on top.
const SILENCE: Duration = Duration::from_secs(3);

/// I5, traps 10 and 17: live delivery goes on while Redis does not answer, and when it has lost its
/// memory. Nobody waits for it, nobody is taken for absent, and every session is found again after it.
#[tokio::test(flavor = "multi_thread")]
async fn i5_live_delivery_goes_on_without_redis() {
    let redis = RedisAlone::start(RedisKind::One).await.unwrap();
    let mut bench = Bench::with_redis(&redis, 2, 1, &[]).await;
    bench.scenario.users(20).await.unwrap();
    let pairs = (0..10).map(|n| vec![2 * n, 2 * n + 1]).collect();
    bench.scenario.rooms_of(pairs).await.unwrap();
    bench.scenario.connect_all().await.unwrap();
    let load = Paced {
        rate: 100.0,
        lasting: Duration::from_secs(11),
        ..Paced::default()
    };
    let gauge = bench.scenario.gauge();
    let mut longest = Vec::new();
    tokio::join!(bench.scenario.send(&load), async {
        sleep(Duration::from_secs(1)).await; // load before it
        gauge.forget_pause();
        let awake = Awake::since_now();
        redis.all()[0].pause();
        let before = gauge.issued();
        sleep(STILL).await;
        // More than both of each pair have had by then: something that was sent since.
        until(
            "what is sent while Redis stands still",
            PATIENCE,
            || async { (gauge.delivered() > 2 * before).then_some(()) },
        )
        .await;
        longest.push(("stood still", gauge.longest_pause(), awake.longest_pause()));
        redis.all()[0].resume();
        sleep(AFTER).await; // homes are claimed anew, routes are written again
        longest.push((
            "answers again",
            gauge.longest_pause(),
            awake.longest_pause(),
        ));
        gauge.forget_pause();
        let awake = Awake::since_now();
        redis.flush().await.unwrap();
        sleep(AFTER).await; // load behind it
        longest.push(("emptied", gauge.longest_pause(), awake.longest_pause()));
    });
    let verdict = bench.settle_well().await;
    println!("Redis: {verdict}; longest silences, and of the machine {longest:?}");
    assert_eq!(verdict.accepted, 1_100);
    for (when, silence, machine) in longest {
        assert!(
            silence < SILENCE + machine,
            "{when}: {silence:?}, {machine:?}"
        );
    }
    let classifier = bench.cluster.classifier(0);
    let told = metric(classifier, "classifier_broadcast_records_total").await;
    assert!(told.unwrap() > 0.0, "{told:?}");
    for gateway in bench.cluster.gateways() {
        until("the routes written again", PATIENCE, || async {
            let rebuilt = metric(gateway, "was_rebuilds_total").await?;
            (rebuilt >= 1.0).then_some(())
        })
        .await;
    }
}
