use std::time::{Duration, Instant};

use service::kafka::{Consumer, Ends, FeedError, KafkaError, KafkaSettings, Start, Watermarks};

use super::place::{PATIENCE, Place, commit, next, text};

/// I1, trap 7: who never read a lane begins at its first record, although it came before.
#[tokio::test]
async fn i1_trap7_a_new_reader_begins_at_the_earliest_record() {
    let place = Place::with_lanes(1).await;
    let topics = place.settings.topics();
    let producer = place.producer();
    for n in 0..3 {
        place.put(&producer, 0, &n.to_string()).await;
    }
    let consumer = place.consumer();
    let committed = consumer
        .committed(topics.send(), 0, PATIENCE)
        .await
        .unwrap();
    assert_eq!(committed, None);
    let marks = consumer
        .watermarks(topics.send(), 0, PATIENCE)
        .await
        .unwrap();
    assert_eq!(marks, Watermarks { low: 0, high: 3 });
    let start = consumer.start_of(topics.send(), 0, PATIENCE).await.unwrap();
    assert_eq!(start, Start::First(0));
    let mut feed = consumer.add(topics.send(), 0, start.offset()).unwrap();
    for n in 0..3 {
        assert_eq!(text(&next(&mut feed).await), n.to_string());
    }
    assert_eq!(feed.try_recv(), Ok(None));
}

/// What is behind is what was sent and not taken yet, of each partition that is read and of no other;
/// the ends are told for any.
#[tokio::test]
async fn how_far_reading_is_behind_is_known() {
    let place = Place::with_lanes(3).await;
    let topic = place.settings.topics().send().clone();
    let (producer, consumer) = (place.producer(), place.consumer());
    for (partition, count) in [(0, 3), (1, 1)] {
        for n in 0..count {
            place.put(&producer, partition, &n.to_string()).await;
        }
    }
    let begun = Instant::now();
    // It asks once: whose leader can't say it at that moment is missing.
    let mut told = loop {
        match consumer.ends(&topic, &[0, 1, 2], PATIENCE).await {
            Ok(told) if told.len() == 3 => break told,
            told => assert!(begun.elapsed() < PATIENCE, "{told:?}"),
        }
    };
    told.sort_unstable();
    assert_eq!(told, [(0, 3), (1, 1), (2, 0)]);
    let none = consumer.ends(&topic, &[], PATIENCE).await.unwrap();
    assert!(none.is_empty(), "{none:?}");

    let mut first = consumer.add(&topic, 0, 1).unwrap();
    let second = consumer.add(&topic, 1, 0).unwrap();
    let behind = async || {
        let positions = consumer.positions(&topic);
        let (ends, read) = (Ends::default(), positions.clone());
        let follow = ends.clone().follow(
            move || read.iter().map(|(partition, _)| *partition).collect(),
            |partitions| {
                let (consumer, topic) = (consumer.clone(), topic.clone());
                async move { consumer.ends(&topic, &partitions, PATIENCE).await }
            },
        );
        let known = async {
            loop {
                let mut behind = ends.behind(positions.clone());
                if behind.len() == positions.len() {
                    behind.sort_unstable();
                    return behind;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = tokio::select! {
            () = follow => panic!("it never ends"),
            found = tokio::time::timeout(PATIENCE, known) => found,
        };
        found.expect("ends in time")
    };
    assert_eq!(behind().await, [(0, 2), (1, 1)]);
    assert_eq!(next(&mut first).await.offset, 1);
    assert_eq!(behind().await, [(0, 1), (1, 1)]);
    place.put(&producer, 0, "3").await;
    assert_eq!(behind().await, [(0, 2), (1, 1)]);
    drop(second);
    assert_eq!(behind().await, [(0, 2)]);
}

/// Commits need neither a subscription nor an assignment, and are seen by the next process.
#[tokio::test]
async fn commits_are_found_by_the_next_reader_of_the_group() {
    let place = Place::with_lanes(3).await;
    let topic = place.settings.topics().send().clone();
    let first = place.consumer();
    commit(&first, &topic, &[(0, 7), (2, 9)]).await;
    commit(&first, &topic, &[(0, 8)]).await;
    let second = place.consumer();
    for (partition, expected) in [(0, Some(8)), (1, None), (2, Some(9))] {
        let committed = second.committed(&topic, partition, PATIENCE).await.unwrap();
        assert_eq!(committed, expected, "partition {partition}");
    }
}

/// librdkafka waits for an answer for as long as it takes; who commits does not, nor does who
/// commits while that one still waits.
#[tokio::test]
async fn a_commit_that_nobody_answers_fails_in_time() {
    // Takes connections and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let brokers = silent.local_addr().unwrap().to_string();
    let settings = KafkaSettings::plain(brokers, "silent-");
    let consumer = Consumer::start(&settings, "test", "test").unwrap();
    let began = Instant::now();
    let fails = async |offset| {
        let failed = consumer.commit("silent-chat-send", &[(0, offset)]).await;
        let failed = failed.unwrap_err();
        assert!(matches!(failed, KafkaError::Unreachable { .. }), "{failed}");
        began.elapsed()
    };
    let (one, other) = tokio::join!(fails(7), fails(8));
    assert!(one.max(other) < PATIENCE, "{one:?}, {other:?}");
    // Each takes 5 s; one after the other, the second would take that much longer.
    let apart = one.abs_diff(other);
    assert!(apart < Duration::from_millis(4_900), "{one:?}, {other:?}");
}

/// Lanes come and go under load: nothing lost, doubled or out of order, in none of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i7_adding_and_removing_a_partition_disturbs_no_other() {
    let place = Place::with_lanes(2).await;
    let topic = place.settings.topics().send().clone();
    let producer = place.producer();
    let consumer = place.consumer();
    let mut steady = consumer.add(&topic, 0, 0).unwrap();
    const ROUNDS: usize = 8;
    const PER_ROUND: usize = 200;

    let mut moving_next: i64 = 0;
    let mut steady_next: i64 = 0;
    for _ in 0..ROUNDS {
        let deliveries: Vec<_> = (0..PER_ROUND)
            .flat_map(|n| [(0, n), (1, n)])
            .map(|(partition, n)| {
                let record = place.record(Some(partition), "1", &n.to_string());
                producer.send(&record).unwrap()
            })
            .collect();
        // Half of what there is, then it goes away with the rest prefetched.
        let mut moving = consumer.add(&topic, 1, moving_next).unwrap();
        for _ in 0..PER_ROUND / 2 {
            assert_eq!(next(&mut moving).await.offset, moving_next);
            moving_next += 1;
        }
        consumer.remove(&topic, 1);
        assert_eq!(moving.try_recv(), Err(FeedError::Removed));
        drop(moving);
        for _ in 0..PER_ROUND {
            assert_eq!(next(&mut steady).await.offset, steady_next);
            steady_next += 1;
        }
        for delivery in deliveries {
            delivery.await.unwrap();
        }
    }
    assert_eq!(steady.try_recv(), Ok(None));
    let mut moving = consumer.add(&topic, 1, moving_next).unwrap();
    let all = i64::try_from(ROUNDS * PER_ROUND).unwrap();
    while moving_next < all {
        assert_eq!(next(&mut moving).await.offset, moving_next);
        moving_next += 1;
    }
    assert_eq!(moving.try_recv(), Ok(None));
}

#[tokio::test]
async fn a_waiting_reader_is_told_when_its_partition_is_removed() {
    let place = Place::with_lanes(1).await;
    let topic = place.settings.topics().send().clone();
    let consumer = place.consumer();
    let mut feed = consumer.add(&topic, 0, 0).unwrap();
    let again = consumer.add(&topic, 0, 0).err().unwrap();
    assert!(matches!(again, KafkaError::AlreadyAdded { .. }), "{again}");
    let waiting = tokio::spawn(async move { feed.recv().await });
    consumer.remove(&topic, 0);
    let told = tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(told, Err(FeedError::Removed));
    // The dropped feed of before does not take this one's partition away.
    let producer = place.producer();
    let mut feed = consumer.add(&topic, 0, 0).unwrap();
    place.put(&producer, 0, "after").await;
    assert_eq!(text(&next(&mut feed).await), "after");
    // Dropping removes as well.
    drop(feed);
    drop(consumer.add(&topic, 0, 0).unwrap());
}

/// I8: a partition that is read anew while its last reader has not gone yet is the new one's: that one hears of its records
/// after the other's end as well.
#[tokio::test]
async fn i8_a_reader_that_was_removed_takes_nothing_with_it() {
    let place = Place::with_lanes(1).await;
    let topic = place.settings.topics().send().clone();
    let (producer, consumer) = (place.producer(), place.consumer());
    let mut before = consumer.add(&topic, 0, 0).unwrap();
    place.put(&producer, 0, "to the one before").await;
    assert_eq!(text(&next(&mut before).await), "to the one before");
    consumer.remove(&topic, 0);
    let mut feed = consumer.add(&topic, 0, 1).unwrap();
    place.put(&producer, 0, "while it is there").await;
    assert_eq!(before.try_recv(), Err(FeedError::Removed));
    assert_eq!(text(&next(&mut feed).await), "while it is there");

    drop(before);
    // Nothing is here: only by being woken it can go on.
    let waiting = tokio::spawn(async move { next(&mut feed).await });
    place.put(&producer, 0, "after it").await;
    assert_eq!(text(&waiting.await.unwrap()), "after it");
}

/// A lane taken over while fetches are under way must not wait for them: with librdkafka's
/// default it took half a second.
#[tokio::test]
async fn a_newly_added_lane_is_read_at_once() {
    let place = Place::with_lanes(2).await;
    let topic = place.settings.topics().send().clone();
    let producer = place.producer();
    place.put(&producer, 0, "warm").await;
    place.put(&producer, 1, "waiting").await;
    let consumer = place.consumer();
    let mut first = consumer.add(&topic, 0, 0).unwrap();
    next(&mut first).await;
    let mut times = Vec::new();
    for _ in 0..10 {
        let began = Instant::now();
        let mut added = consumer.add(&topic, 1, 0).unwrap();
        next(&mut added).await;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    // With that default all are late; a busy machine may be late most of the time.
    assert!(times[1] < Duration::from_millis(300), "{times:?}");
}

/// An offset that is not there is told by the partition's own feed; the others read on.
#[tokio::test]
async fn an_offset_out_of_range_is_told_and_never_jumped_over() {
    let place = Place::with_lanes(2).await;
    let topic = place.settings.topics().send().clone();
    let producer = place.producer();
    place.put(&producer, 0, "zero").await;
    place.put(&producer, 1, "one").await;
    let consumer = place.consumer();
    let mut wrong = consumer.add(&topic, 0, 5_000).unwrap();
    let mut right = consumer.add(&topic, 1, 0).unwrap();
    assert_eq!(text(&next(&mut right).await), "one");
    let told = tokio::time::timeout(PATIENCE, wrong.recv()).await.unwrap();
    assert_eq!(told, Err(FeedError::OutOfRange));
    // Who only looked for more has not swallowed it.
    assert_eq!(wrong.try_recv(), Err(FeedError::OutOfRange));
    drop(wrong);
    commit(&consumer, &topic, &[(0, 5_000)]).await;
    let start = consumer.start_of(&topic, 0, PATIENCE).await.unwrap();
    assert_eq!(
        start,
        Start::Beyond {
            at: 0,
            wanted: 5_000
        }
    );
    let mut feed = consumer.add(&topic, 0, start.offset()).unwrap();
    assert_eq!(text(&next(&mut feed).await), "zero");
}
