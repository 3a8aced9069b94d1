//! What a producer takes of the processor, with the gate in front of librdkafka and without it: records
//! with a key and no partition do not pass it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::{RoomId, lane_of};
use service::kafka::{Admin, KafkaSettings, Outgoing, Producer, Topics};
use stack::{Options, Stack};

use super::place::{PATIENCE, topic};

const LANES: i32 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement of the whole process: to be run alone, with --nocapture"]
async fn processor_time_of_a_producer() {
    let options = Options {
        cables: 1,
        ..Options::default()
    };
    let stack = Stack::alone(options).await.unwrap();
    let space = stack.space().await.unwrap();
    let cable = &stack.cables()[0];
    let cut_off = KafkaSettings::plain(cable.kafka_brokers(), space.topic_prefix());
    let settings = KafkaSettings::plain(space.kafka_brokers(), space.topic_prefix());
    let topics = settings.topics();
    let admin = Admin::connect(&settings, PATIENCE).unwrap();
    let wanted = [topic(topics.send(), 3)];
    admin.ensure_topics(&wanted).await.unwrap();
    let producer = Producer::start(&settings, "measured", PATIENCE).unwrap();
    let held = Producer::start(&cut_off, "held", PATIENCE).unwrap();
    let warm = every(&producer, &topics, true, 1, Duration::from_millis(1)).await;
    println!("to begin with: {warm}");

    for gated in [false, true, false, true] {
        println!("gate: {gated}");
        for (burst, pause) in [(1, 1), (20, 1), (20, 10), (1_000, 100)] {
            let pause = Duration::from_millis(pause);
            let figures = every(&producer, &topics, gated, burst, pause).await;
            println!("  {burst} records every {pause:?}: {figures}");
        }
        let first = held.send(&record(&topics, gated, 0)).unwrap();
        first.await.unwrap();
        cable.cut();
        let before = processor_seconds();
        let mut deliveries = Vec::new();
        for _ in 0..100 {
            deliveries.push(held.send(&record(&topics, gated, 0)).unwrap());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let took = processor_seconds() - before;
        println!("  2 s without an answer: {took:.3} s of processor time");
        cable.heal();
        for delivery in deliveries {
            delivery.await.unwrap();
        }
    }
}

/// 10,000 records, each burst to the next partition.
async fn every(
    producer: &Producer,
    topics: &Topics,
    gated: bool,
    burst: usize,
    pause: Duration,
) -> String {
    let mut fates = Vec::new();
    let mut timer = tokio::time::interval(pause);
    let (began, before) = (Instant::now(), processor_seconds());
    for lane in (0..LANES).cycle().take(10_000 / burst.max(3)) {
        timer.tick().await;
        let record = record(topics, gated, lane);
        for _ in 0..burst {
            let sent = Instant::now();
            let delivery = producer.send(&record).unwrap();
            fates.push(tokio::spawn(async move {
                delivery.await.unwrap();
                sent.elapsed()
            }));
        }
    }
    let mut took = Vec::new();
    for fate in fates {
        took.push(fate.await.unwrap());
    }
    let (all, cpu) = (began.elapsed(), processor_seconds() - before);
    took.sort();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    format!("{cpu:.3} s of processor time in {all:.1?}, acknowledged p50 {p50:.1?}, p99 {p99:.1?}")
}

fn record(topics: &Topics, gated: bool, lane: i32) -> Outgoing {
    let found = |room: &i64| lane_of(RoomId::new(*room).unwrap(), LANES).0 == lane;
    let room = (1..).find(found).unwrap();
    Outgoing {
        partition: gated.then_some(lane),
        key: Some(Bytes::from(room.to_string())),
        payload: Some(Bytes::from_static(&[7; 256])),
        ..Outgoing::to(topics.send())
    }
}

fn processor_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap().as_secs_f64()
}
