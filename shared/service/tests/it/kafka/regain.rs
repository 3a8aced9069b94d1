use std::time::Duration;

use stack::{Options, Stack};

use tokio_util::task::AbortOnDropHandle;

use super::place::{Place, commit, next, plain, text};

/// As many as a small cluster of ours has.
const READERS: usize = 20;
/// Longer than a broker may be silent before it is no part of its cluster any more (3 s, as stack sets it).
const PAUSE: Duration = Duration::from_secs(5);

/// One question.
const ASK: Duration = Duration::from_secs(1);

/// I2, and every promise that something arrives: a broker that stood still names no brokers when it wakes up, not even itself, and
/// librdkafka forgets the last one. Whoever reads, commits or writes finds it again.
#[tokio::test(flavor = "multi_thread")]
async fn i2_a_broker_that_stood_still_is_found_again_by_all() {
    let stack = Stack::alone(Options::default()).await.unwrap();
    let place = Place::on(&stack, 1, plain).await;
    let topic = place.settings.topics().send().clone();
    let producer = place.producer();
    place.put(&producer, 0, "before").await;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let consumer = place.consumer();
        let feed = consumer.add(&topic, 0, 0).unwrap();
        readers.push((consumer, feed));
    }
    for (consumer, feed) in &mut readers {
        assert_eq!(text(&next(feed).await), "before");
        commit(consumer, &topic, &[(0, 1)]).await;
    }

    // Answers about the cluster that come one after the other are what librdkafka trips over.
    let asks = readers.iter().map(|(consumer, _)| {
        let (consumer, topic) = (consumer.clone(), topic.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                // Whether it is answered is not the point.
                let _ = consumer.ends(&topic, &[0], ASK).await;
            }
        }))
    });
    let asks: Vec<_> = asks.collect();
    stack.kafka()[0].pause();
    // The fault itself.
    tokio::time::sleep(PAUSE).await;
    stack.kafka()[0].resume();

    place.put(&producer, 0, "after").await;
    drop(asks);
    for (consumer, feed) in &mut readers {
        assert_eq!(text(&next(feed).await), "after");
        commit(consumer, &topic, &[(0, 2)]).await;
    }
}
