use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::{RoomId, lane_of};
use service::kafka::{Consumer, MAX_RECORD_BYTES, Outgoing, ProduceError, Producer, Topics};

use super::place::{PATIENCE, Place, next, nowhere};

/// A room's commands must be where its lane's owner looks for them.
#[tokio::test]
async fn a_keyed_record_is_in_the_lane_that_protocol_computes() {
    let place = Place::with_lanes(7).await;
    let producer = place.producer();
    for room in [1, 2, 17, 1_234_567, 9_007_199_254_740_991] {
        let record = place.record(None, &room.to_string(), "x");
        let placed = producer.send(&record).unwrap().await.unwrap();
        let lane = lane_of(RoomId::new(room).unwrap(), 7);
        assert_eq!(placed.partition, lane.0, "room {room}");
    }
}

#[tokio::test]
async fn a_record_comes_out_as_it_went_in() {
    let place = Place::with_lanes(1).await;
    let producer = place.producer();
    let record = Outgoing {
        headers: vec![
            ("v", Bytes::from_static(&[1])),
            ("to", Bytes::from_static(&[0, 255, 1])),
            ("blind", Bytes::new()),
        ],
        ..place.record(Some(0), "42", "{\"body\":\"hé\"}")
    };
    let placed = producer.send(&record).unwrap().await.unwrap();
    let empty = Outgoing {
        partition: Some(0),
        ..Outgoing::to(place.settings.topics().send())
    };
    producer.send(&empty).unwrap().await.unwrap();

    let consumer = place.consumer();
    let mut feed = consumer
        .add(place.settings.topics().send(), 0, placed.offset)
        .unwrap();
    let read = next(&mut feed).await;
    assert_eq!((read.partition, read.offset), (0, placed.offset));
    assert_eq!(read.key, record.key);
    assert_eq!(read.payload, record.payload);
    let headers: Vec<(&str, &[u8])> = read.header_slices().collect();
    assert_eq!(
        headers,
        [
            ("v", &[1_u8][..]),
            ("to", &[0, 255, 1][..]),
            ("blind", &[][..])
        ]
    );
    assert!(read.timestamp_ms > 1_600_000_000_000);
    let read = next(&mut feed).await;
    assert_eq!((read.key, read.payload), (None, None));
    assert!(read.headers.is_empty());
}

#[tokio::test]
async fn records_of_a_partition_keep_the_order_they_were_sent_in() {
    let place = Place::with_lanes(1).await;
    let producer = place.producer();
    let deliveries: Vec<_> = (0..2_000)
        .map(|n| {
            producer
                .send(&place.record(Some(0), "1", &n.to_string()))
                .unwrap()
        })
        .collect();
    for (n, delivery) in deliveries.into_iter().enumerate() {
        assert_eq!(delivery.await.unwrap().offset, i64::try_from(n).unwrap());
    }
}

/// 2 MiB go through, more is refused at once and differently from everything else.
#[tokio::test]
async fn the_largest_record_fits_and_a_larger_one_is_told_as_too_large() {
    let place = Place::with_lanes(1).await;
    let producer = place.producer();
    // Large headers count as well: librdkafka's own check does not see them.
    let large = |bytes: usize| {
        let mut record = place.record(Some(0), "1", "");
        record.headers = vec![("to", Bytes::from(vec![7; bytes / 2]))];
        let rest = bytes - record.size();
        record.payload = Some(Bytes::from(vec![7; rest]));
        assert_eq!(record.size(), bytes);
        record
    };
    let error = producer.send(&large(MAX_RECORD_BYTES + 1)).unwrap_err();
    assert_eq!(error, ProduceError::TooLarge);
    // A topic that takes less: the broker's refusal is told in the same way.
    let topics = place.settings.topics();
    let sized = |name: &str, bytes: &str| service::kafka::TopicSpec {
        configs: vec![("max.message.bytes", bytes.to_owned())],
        ..super::place::topic(name, 1)
    };
    let wanted = [
        sized(topics.push(), "1048576"),
        sized(topics.receive(), "2097152"),
    ];
    place.admin.ensure_topics(&wanted).await.unwrap();
    let record = Outgoing {
        topic: topics.push().clone(),
        ..large(MAX_RECORD_BYTES)
    };
    let refused = producer.send(&record).unwrap().await;
    assert_eq!(refused, Err(ProduceError::TooLarge));

    let record = Outgoing {
        topic: place.settings.topics().receive().clone(),
        ..large(MAX_RECORD_BYTES)
    };
    let placed = producer.send(&record).unwrap().await.unwrap();
    let consumer = place.consumer();
    let mut feed = consumer
        .add(place.settings.topics().receive(), 0, placed.offset)
        .unwrap();
    assert_eq!(next(&mut feed).await.payload, record.payload);
}

/// Trap 11: without a bound of its own a record is "unavailable" to its sender and delivered
/// minutes later.
#[tokio::test]
async fn trap11_a_record_is_given_up_after_its_timeout() {
    let producer = Producer::start(&nowhere(), "test", Duration::from_secs(1)).unwrap();
    let record = Outgoing {
        partition: Some(0),
        ..Outgoing::to(Topics::new("").send())
    };
    let began = Instant::now();
    let fate = tokio::time::timeout(PATIENCE, producer.send(&record).unwrap())
        .await
        .unwrap();
    assert_eq!(fate, Err(ProduceError::TimedOut));
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
}

/// I9: the queue is bounded, and full is told at once.
#[tokio::test]
async fn i9_a_full_queue_is_told_at_once() {
    let producer = Producer::start(&nowhere(), "test", Duration::from_secs(300)).unwrap();
    let record = Outgoing {
        partition: Some(0),
        payload: Some(Bytes::from(vec![7; 1024 * 1024])),
        ..Outgoing::to(Topics::new("").send())
    };
    let mut queued = 0;
    let error = loop {
        match producer.send(&record) {
            Ok(_) => queued += 1,
            Err(error) => break error,
        }
        assert!(queued < 1_000, "no bound in sight");
    };
    assert_eq!(error, ProduceError::Full);
    assert!(queued >= 60, "{queued}");
}

#[tokio::test]
async fn flush_waits_for_what_was_sent() {
    let place = Place::with_lanes(1).await;
    let producer = place.producer();
    for n in 0..100 {
        drop(
            producer
                .send(&place.record(Some(0), "1", &n.to_string()))
                .unwrap(),
        );
    }
    assert!(producer.flush(PATIENCE).await);
    let marks = place
        .consumer()
        .watermarks(place.settings.topics().send(), 0, PATIENCE)
        .await
        .unwrap();
    assert_eq!((marks.low, marks.high), (0, 100));

    let stuck = Producer::start(&nowhere(), "test", Duration::from_secs(300)).unwrap();
    drop(stuck.send(&Outgoing::to(Topics::new("").send())).unwrap());
    assert!(!stuck.flush(Duration::from_millis(200)).await);
}

#[tokio::test]
async fn brokers_that_do_not_answer_are_told_by_their_setting() {
    let settings = nowhere();
    let consumer = Consumer::start(&settings, "test", "test").unwrap();
    let error = consumer
        .committed("chat-send", 0, Duration::from_secs(1))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&format!("kafka.brokers = {}", settings.brokers)),
        "{error}"
    );
    let admin = service::kafka::Admin::connect(&settings, Duration::from_secs(1)).unwrap();
    let error = admin.partitions("chat-send").await.unwrap_err().to_string();
    assert!(
        error.contains(&format!("kafka.brokers = {}", settings.brokers)),
        "{error}"
    );
}
