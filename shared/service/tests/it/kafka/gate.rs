//! What the gate in front of librdkafka leaves as it was: order, bounds, fates.

use std::time::{Duration, Instant};

use service::kafka::{Outgoing, ProduceError, Producer, Topics};

use super::place::{PATIENCE, Place, nowhere};

#[tokio::test]
async fn bursts_to_several_partitions_keep_their_order() {
    let place = Place::with_lanes(3).await;
    let producer = place.producer();
    let mut deliveries = [const { Vec::new() }; 3];
    for n in 0..10_000_usize {
        // Bursts of all sizes, in one partition after the other.
        let partition = (n / 37) % 3;
        let at = i32::try_from(partition).unwrap();
        let record = place.record(Some(at), "1", &n.to_string());
        deliveries[partition].push(producer.send(&record).unwrap());
        if n % 101 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    for deliveries in deliveries {
        for (offset, delivery) in (0..).zip(deliveries) {
            assert_eq!(delivery.await.unwrap().offset, offset);
        }
    }
}

/// Trap 11: to wait before librdkafka has a record counts as well.
#[tokio::test]
async fn trap11_what_waits_is_given_up_too() {
    let timeout = Duration::from_secs(1);
    let producer = Producer::start(&nowhere(), "test", timeout).unwrap();
    let record = somewhere();
    let began = Instant::now();
    let mut deliveries = Vec::new();
    for _ in 0..20 {
        deliveries.push(producer.send(&record).unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for delivery in deliveries {
        let fate = tokio::time::timeout(PATIENCE, delivery).await.unwrap();
        assert_eq!(fate, Err(ProduceError::TimedOut));
    }
    // The last came after 1.9 s; it has waited a timeout, and librdkafka looks once a second. One after the other they would
    // take 20 s.
    let took = began.elapsed();
    assert!(took < 12 * timeout, "{took:?}");
}

#[tokio::test]
async fn a_flush_waits_for_what_waits_and_a_drop_gives_it_up() {
    let producer = Producer::start(&nowhere(), "test", Duration::from_secs(300)).unwrap();
    let record = somewhere();
    let mut deliveries = Vec::new();
    for _ in 0..20 {
        deliveries.push(producer.send(&record).unwrap());
        // No burst: most wait.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(!producer.flush(Duration::from_millis(200)).await);
    drop(producer);
    for delivery in deliveries {
        let fate = tokio::time::timeout(PATIENCE, delivery).await.unwrap();
        assert!(matches!(fate, Err(ProduceError::Other(_))), "{fate:?}");
    }
}

fn somewhere() -> Outgoing {
    Outgoing {
        partition: Some(0),
        ..Outgoing::to(Topics::new("").receive())
    }
}
