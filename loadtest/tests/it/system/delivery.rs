//! Messages from socket to socket (I2, I3, I5).

use std::time::Duration;

use loadtest::Paced;

use super::bench::Bench;

/// I2, I3, I5: a pair on different gateways and a group of five on three, every message to everyone,
/// once and in order, seq 1…n without gaps.
#[tokio::test(flavor = "multi_thread")]
async fn i2_i5_everyone_sees_every_message_once_in_order() {
    let mut bench = Bench::shared(3, 2).await;
    let scenario = &mut bench.scenario;
    scenario.users(7).await.unwrap();
    scenario.room(&[0, 1]).await.unwrap();
    scenario.room(&[2, 3, 4, 5, 6]).await.unwrap();
    scenario.connect_all().await.unwrap();
    let paced = Paced {
        rate: 100.0,
        lasting: Duration::from_secs(3),
        ..Paced::default()
    };
    scenario.send(&paced).await;
    let verdict = bench.settle_well().await;
    assert_eq!(verdict.accepted, 300);
    assert_eq!(verdict.delivered, 150 * 2 + 150 * 5);

    for (reader, room) in [(0, 0), (6, 1)] {
        let room = bench.scenario.room_at(room).id;
        let seqs = bench.seqs(reader, 0, room).await;
        // The room's creation is its first event.
        assert_eq!(seqs, (1..=151).collect::<Vec<_>>());
    }
}

/// I5: every device of a user gets everything, the sender's other devices included.
#[tokio::test(flavor = "multi_thread")]
async fn i5_all_devices_of_a_user_get_everything() {
    let mut bench = Bench::shared(2, 1).await;
    let scenario = &mut bench.scenario;
    scenario.users(2).await.unwrap();
    let phone = scenario.device(0);
    let tablet = scenario.device(1);
    scenario.room(&[0, 1, phone, tablet]).await.unwrap();
    scenario.connect(0, 0).await.unwrap();
    scenario.connect(phone, 1).await.unwrap();
    scenario.connect(1, 0).await.unwrap();
    scenario.connect(tablet, 0).await.unwrap();
    for n in 0..20 {
        scenario.say(0, 0, format!("{n}")).unwrap();
    }
    let verdict = bench.settle_well().await;
    assert_eq!(verdict.delivered, 20 * 4);
}
