//! I7: whatever Kafka does, lanes that are well stay: the owner's timer waits for nothing but the
//! renewal itself.

use std::time::Duration;

use classifier::pipeline::context::RENEWAL;

use super::ledger::Fault;
use super::stage::{Stage, command, group, is_stored, room_in, say};

/// The broker that coordinates the group is away: commits of offsets, for lag tools only, take many
/// seconds. Lanes are renewed meanwhile, at most one commit is under way, and a stop releases all.
#[tokio::test]
async fn i7_a_commit_without_an_answer_stops_no_renewal() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    stage.kafka.lose_coordinator();
    stage.produce(&command(room, 1, group(&[2])));
    stage.start_renewing(RENEWAL);
    stage.until("a commit", || stage.kafka.commits() == 1).await;
    let before = stage.postgres.heartbeats();
    stage
        .until("renewals", || stage.postgres.heartbeats() >= before + 8)
        .await;
    assert_eq!(stage.kafka.commits(), 1, "beside one that is under way");
    stage.stop().await;
    stage.lanes_are_free();
}

/// A lane without a leader is claimed and can't be read. It holds back no other lane, is renewed while
/// it is being opened, and is released by a stop.
#[tokio::test]
async fn i7_a_lane_without_a_leader_holds_back_no_other() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    stage.kafka.lose_leader(1);
    let create = command(room, 1, group(&[2]));
    stage.produce(&create);
    stage.start();
    assert!(is_stored(&stage.answer(create.id).await, 1));
    stage
        .until("the claim", || stage.postgres.lane(1).owner.is_some())
        .await;
    let short = Duration::from_millis(1);
    stage.postgres.change_lane(1, |row| row.ttl_left = short);
    stage
        .until("its renewal", || stage.postgres.lane(1).ttl_left > short)
        .await;
    assert_eq!(stage.postgres.lane(1).epoch, 1, "claimed again");
    stage.stop().await;
    stage.lanes_are_free();
}

/// A lane that was lost under this process's own name, and whose row is locked when it is claimed anew,
/// is claimed again with the next look at the table: nobody else would, until its lease has run out.
#[tokio::test]
async fn a_lost_lane_is_claimed_until_it_is_had() {
    let (stage, room) = Stage::begun().await;
    stage.postgres.lock_claims(2);
    stage.postgres.fault(Fault::AnswerLost);
    let said = command(room, 1, say("goes on"));
    stage.produce(&said);
    stage.settled([1, -1]).await;
    assert_eq!(stage.stored(room), [1, 2]);
    assert!(is_stored(&stage.answer(said.id).await, 2));
}

/// A lane that somebody gives back, or whose lease runs out, is taken long before the next renewal, by
/// which it would be found in any case.
#[tokio::test]
async fn a_free_lane_does_not_wait_for_the_next_renewal() {
    let mut stage = Stage::new();
    let hour = Duration::from_secs(3_600);
    let taken = |stage: &Stage| {
        stage.postgres.change_lane(1, |row| {
            (row.owner, row.ttl_left) = (Some("other".to_owned()), hour);
            row.epoch += 1;
        });
    };
    taken(&stage);
    stage.start_renewing(RENEWAL);
    for given_back in [true, false, true] {
        let mut quickest = hour;
        // A renewal would find it late each time; a busy machine may be late now and then.
        for _ in 0..4 {
            // The last of these is a renewal: the next one is due in 0.5 s.
            let before = stage.postgres.heartbeats();
            stage
                .until("renewals", || stage.postgres.heartbeats() >= before + 2)
                .await;
            let free = tokio::time::Instant::now();
            stage.postgres.change_lane(1, |row| {
                row.ttl_left = Duration::ZERO;
                row.owner = row.owner.take().filter(|_| !given_back);
            });
            let mine = || stage.postgres.lane(1).owner.as_deref() == Some("me");
            stage.until("the claim", mine).await;
            quickest = quickest.min(free.elapsed());
            taken(&stage);
            if quickest < Duration::from_millis(350) {
                break;
            }
        }
        assert!(quickest < Duration::from_millis(350), "{quickest:?}");
    }
}

/// Who stops is no member any more when it gives its lanes back: as long as it counts, the others take
/// what is free for its share.
#[tokio::test]
async fn who_stops_counts_no_more_when_its_lanes_are_free() {
    let (mut stage, _) = Stage::begun().await;
    stage.stop().await;
    assert!(stage.postgres.left_with_lanes());
    stage.lanes_are_free();
}
