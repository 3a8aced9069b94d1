//! Owning lanes: fences, hand-over, topics made anew, and deliveries that fail.

use classifier::ports::Sink;
use protocol::Seq;

use super::ledger::Fault;
use super::stage::{Stage, command, group, room_in, say};

/// A lane that another process has taken is dropped; the other lane's part of the same batch is
/// appended again.
#[tokio::test]
async fn a_fence_stops_one_lane_and_no_other() {
    let mut stage = Stage::new();
    let (mine, stolen) = (room_in(0, 0), room_in(1, 0));
    stage.produce(&command(mine, 1, group(&[2])));
    stage.produce(&command(stolen, 1, group(&[2])));
    stage.start();
    stage.settled([0, 0]).await;

    stage.postgres.fault(Fault::Stolen(1));
    let [a, b] = [mine, stolen].map(|room| command(room, 1, say("both")));
    stage.produce(&b);
    stage.produce(&a);
    stage
        .until("the other lane", || stage.postgres.lane(0).routed == 1)
        .await;
    assert_eq!(stage.stored(mine), [1, 2]);
    assert_eq!(stage.stored(stolen), [1], "written over the fence");
    assert_eq!(stage.delivered(mine, 2), [1, 2]);
    let row = stage.postgres.lane(1);
    assert_eq!(
        row.owner.as_deref(),
        Some("thief"),
        "taken back from its owner"
    );

    // The thief goes: the lane is claimed anew and goes on where it stood.
    stage
        .postgres
        .change_lane(1, |row| row.ttl_left = std::time::Duration::ZERO);
    stage.settled([1, 1]).await;
    assert_eq!(stage.stored(stolen), [1, 2]);
    assert_eq!(stage.delivered(stolen, 2), [1, 2]);
}

/// What was accepted and is not routed yet is told of each lane: also of what is stored already.
#[tokio::test]
async fn lanes_tell_how_far_they_are_behind() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    stage.produce(&command(room, 1, group(&[2])));
    stage.start();
    let behind = |lanes: [i64; 2]| {
        let told = stage.metrics().behind.figures();
        told == [(0, lanes[0]), (1, lanes[1])]
    };
    stage.until("nothing behind", || behind([0, 0])).await;
    stage.kafka.lose_sends(usize::MAX);
    for _ in 0..3 {
        stage.produce(&command(room, 1, say("held up")));
    }
    stage
        .until("all that is stored", || stage.stored(room).len() == 4)
        .await;
    stage.until("three behind", || behind([3, 0])).await;
    stage.kafka.lose_sends(0);
    stage.until("nothing behind", || behind([0, 0])).await;
    stage.stop().await;
}

/// Somebody has written under this process's own claim (Postgres came back without its last commits,
/// or with more): the renewal sees another `applied`, the states are dropped.
#[tokio::test]
async fn another_applied_than_expected_drops_the_states() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    stage.produce(&command(room, 1, group(&[2])));
    stage.produce(&command(room, 1, say("first")));
    stage.start();
    stage.settled([1, -1]).await;
    let epoch = stage.postgres.lane(0).epoch;
    stage.postgres.change_lane(0, |row| row.applied = 0);
    stage
        .until("a new claim", || stage.postgres.lane(0).epoch > epoch)
        .await;
    // The message is there, so deciding it again finds its id taken: still stored once.
    stage.settled([1, -1]).await;
    assert_eq!(stage.stored(room), [1, 2]);
    assert_eq!(stage.metrics().lanes_lost.get(), 1);
}

/// A stop hands lanes over after the last commit, with all that is acknowledged noted.
#[tokio::test]
async fn a_stop_releases_every_lane() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    stage.produce(&command(room, 1, group(&[2])));
    stage.start();
    stage
        .until("the delivery", || stage.delivered(room, 2) == [1])
        .await;
    stage.stop().await;
    stage.lanes_are_free();
    assert_eq!(stage.postgres.lane(0).routed, 0);
}

/// Trap 7: another topic id means other offsets: the lane starts at none, with the first record.
#[tokio::test]
async fn trap7_a_topic_made_anew_is_read_from_its_first_record() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    for n in 0..5 {
        stage.produce(&command(
            room,
            1,
            if n == 0 { group(&[2]) } else { say("old") },
        ));
    }
    stage.start();
    stage.settled([4, -1]).await;
    stage.stop().await;
    stage.kafka.remake_topic("second");
    stage.produce(&command(room, 1, say("new")));
    stage.start();
    stage.settled([0, -1]).await;
    assert_eq!(stage.stored(room), [1, 2, 3, 4, 5, 6]);
}

/// `applied` beyond the log's end is set to the end, counted, and the lane goes on.
#[tokio::test]
async fn applied_beyond_the_end_is_cut_back() {
    let (mut stage, room) = Stage::begun().await;
    stage.stop().await;
    stage
        .postgres
        .change_lane(0, |row| (row.applied, row.routed) = (90, 80));
    stage.start();
    stage
        .until("the alarm", || stage.metrics().beyond_end.get() == 1)
        .await;
    stage.produce(&command(room, 1, say("goes on")));
    stage.settled([1, -1]).await;
    assert_eq!(stage.stored(room), [1, 2]);
}

/// A record that is not acknowledged is sent again, alone, and `routed` waits for it.
#[tokio::test]
async fn unacknowledged_records_are_sent_again() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    // The push, and the homes of 1 and 2.
    stage.kafka.lose_sends(3);
    stage.produce(&command(room, 1, group(&[2, 100])));
    stage.start();
    stage.settled([0, -1]).await;
    assert_eq!(stage.delivered(room, 1), [1]);
    assert_eq!(stage.delivered(room, 2), [1]);
    // 100 has no route; 1, the sender, is never pushed (I8).
    assert_eq!(stage.kafka.sent_to(Sink::Push).len(), 1);
    assert_eq!(stage.metrics().publish_failures.get(), 3);
}

/// I9: a record that finds no room waits, and what is behind it with it: nothing overtakes, nothing is
/// sent twice, and nobody asks for the routes again.
#[tokio::test]
async fn i9_a_full_queue_is_waited_out_in_order() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    stage.produce(&command(room, 1, group(&[2])));
    for _ in 0..5 {
        stage.produce(&command(room, 1, say("x")));
    }
    stage.kafka.fill_up(4);
    stage.start();
    stage.settled([5, -1]).await;
    assert_eq!(stage.delivered(room, 2), (1..=6).collect::<Vec<_>>());
    assert_eq!(stage.metrics().publish_failures.get(), 0);
}

/// Batches are bounded, and what waits is collected while the one before commits.
#[tokio::test]
async fn what_waits_is_appended_together() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    stage.produce(&command(room, 1, group(&[2])));
    for _ in 0..1_200 {
        stage.produce(&command(room, 1, say("x")));
    }
    stage.start();
    stage.settled([1_200, -1]).await;
    assert_eq!(stage.delivered(room, 2), (1..=1_201).collect::<Vec<_>>());
    assert_eq!(
        stage.postgres.events().last().unwrap().seq,
        Seq::new(1_201).unwrap()
    );
    assert_eq!(stage.postgres.appends(), 3, "500 + 500 + 201");
}
