//! Every connection to a server encrypted, and each end proved.

use std::time::Duration;

use loadtest::Paced;
use stack::Stack;

use super::bench::Bench;

/// I2, I3, I5: gateways, a classifier and `setup` over TLS alone, Kafka with a login (SASL_SSL, SCRAM), Postgres's certificate
/// and name looked at (verify-full), Redis with an authority of one's own: everything accepted is delivered, once and in order.
#[tokio::test(flavor = "multi_thread")]
async fn i2_i5_everything_is_delivered_where_all_is_encrypted() {
    let space = Stack::shared().await.unwrap().space().await.unwrap();
    let settings = [
        space.guarded_kafka_env(),
        space.guarded_postgres_env(),
        space.guarded_redis_env(),
    ];
    let mut bench = Bench::in_space(space, 2, 1, settings.concat()).await;
    let scenario = &mut bench.scenario;
    scenario.users(5).await.unwrap();
    scenario.room(&[0, 1]).await.unwrap();
    scenario.room(&[2, 3, 4]).await.unwrap();
    scenario.connect_all().await.unwrap();
    let paced = Paced {
        rate: 100.0,
        lasting: Duration::from_secs(2),
        ..Paced::default()
    };
    scenario.send(&paced).await;
    let verdict = bench.settle_well().await;
    assert_eq!(verdict.accepted, 200);
    assert_eq!(verdict.delivered, 100 * 2 + 100 * 3);
}
