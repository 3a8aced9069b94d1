//! What can't be decoded goes to `chat-dlq` and the lane goes on (I11).

use std::time::Duration;

use bytes::Bytes;
use protocol::{header, lane_of};
use service::kafka::{Consumer, KafkaSettings, Outgoing, Producer};

use super::bench::{Bench, PATIENCE};

/// I11, trap 12: garbage of several kinds in the very lane of a room; each is in `chat-dlq` with reason
/// and origin, and messages before and after it arrive.
#[tokio::test(flavor = "multi_thread")]
async fn i11_garbage_is_put_aside_with_its_reason() {
    let mut bench = Bench::shared(2, 1).await;
    bench.scenario.users(2).await.unwrap();
    bench.scenario.room(&[0, 1]).await.unwrap();
    bench.scenario.connect_all().await.unwrap();
    bench.scenario.say(0, 0, "before").unwrap();
    bench.settle_well().await;

    let room = bench.scenario.room_at(0).id;
    let lane = lane_of(room, 6);
    let settings = KafkaSettings::plain(bench.space.kafka_brokers(), bench.space.topic_prefix());
    let topics = settings.topics();
    let producer = Producer::start(&settings, "poisoner", PATIENCE).unwrap();
    let stranger = (1..)
        .map(|n| protocol::RoomId::new(n).unwrap())
        .find(|other| lane_of(*other, 6) != lane);
    let stranger = stranger.unwrap();
    let command = |room: protocol::RoomId, v: u8, body: &str| {
        format!(
            r#"{{"v":{v},"room":{room},"sender":1,"id":"00000000-0000-0000-0000-000000000001","at":0,"kind":"message","body":"{body}"}}"#
        )
    };
    let poison: [(&str, String, String); 5] = [
        ("undecodable", room.to_string(), "\u{1}garbage".into()),
        ("unknown_version", room.to_string(), command(room, 9, "x")),
        ("wrong_key", "nonsense".into(), command(room, 1, "x")),
        (
            "wrong_lane",
            stranger.to_string(),
            command(stranger, 1, "x"),
        ),
        ("bad_data", room.to_string(), command(room, 1, "a\\u0000b")),
    ];
    let mut offsets = Vec::new();
    for (_, key, value) in &poison {
        let mut record = Outgoing::to(topics.send());
        record.partition = Some(lane.0);
        record.key = Some(Bytes::from(key.clone()));
        record.payload = Some(Bytes::from(value.clone()));
        let placed = producer.send(&record).unwrap().await.unwrap();
        offsets.push(placed.offset);
    }
    bench.scenario.say(1, 0, "after").unwrap();
    let verdict = bench.settle_well().await;
    assert_eq!(verdict.delivered, 4);

    let mut found = Vec::new();
    let consumer = Consumer::start(&settings, "coroner", "coroner").unwrap();
    let mut feeds: Vec<_> = (0..3)
        .map(|partition| consumer.add(topics.dlq(), partition, 0).unwrap())
        .collect();
    let text = |value: &Bytes| String::from_utf8(value.to_vec()).unwrap();
    tokio::time::timeout(PATIENCE, async {
        while found.len() < poison.len() {
            for feed in &mut feeds {
                while let Some(record) = feed.try_recv().unwrap() {
                    let header = |name| text(record.header(name).unwrap());
                    assert_eq!(header(header::ORIGIN_TOPIC), **topics.send());
                    assert_eq!(header(header::ORIGIN_PARTITION), lane.to_string());
                    found.push((
                        header(header::ORIGIN_OFFSET).parse::<i64>().unwrap(),
                        header(header::REASON),
                        text(record.payload.as_ref().unwrap()),
                    ));
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("found only {found:?}"));
    found.sort();
    let expected: Vec<_> = offsets
        .iter()
        .zip(&poison)
        .map(|(offset, (reason, _, value))| (*offset, (*reason).to_owned(), value.clone()))
        .collect();
    assert_eq!(found, expected);
}
