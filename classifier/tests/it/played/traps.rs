//! The traps of the design, each with the rule that avoids it.

use classifier::ports::Sink;
use protocol::CommandKind;

use super::ledger::Fault;
use super::stage::{Stage, command, group, is_stored, rejection, room_in, say, user};

/// Trap 1: what was decided is not decided again, against a state in which it can't be: nobody comes
/// back, nothing stored is called rejected. Trap 4: and all of it is routed again, to the members at
/// that seq.
#[tokio::test]
async fn trap1_redelivered_commands_are_routed_not_decided() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    let create = command(room, 1, group(&[2]));
    let added = command(room, 1, CommandKind::Add { user: user(3) });
    let said = command(room, 3, say("while in"));
    let removed = command(room, 1, CommandKind::Remove { user: user(3) });
    let refused = command(room, 3, say("while out"));
    for each in [&create, &added, &said, &removed, &refused] {
        stage.produce(each);
    }
    stage.start();
    stage.settled([4, -1]).await;
    stage.kill().await;
    let before = stage.postgres.events();
    stage.kafka.forget_sent();
    stage.postgres.change_lane(0, |row| row.routed = -1);

    stage.start();
    stage.settled([4, -1]).await;
    assert_eq!(stage.postgres.events(), before, "decided again");
    assert_eq!(
        stage.postgres.members(room),
        [user(1), user(2)],
        "came back"
    );
    assert_eq!(stage.delivered(room, 1), [1, 2, 3, 4]);
    assert_eq!(stage.delivered(room, 3), [2, 3, 4], "members at that seq");
    for (sent, seq) in [(&create, 1), (&added, 2), (&said, 3), (&removed, 4)] {
        let answers = stage.answers(sent.id);
        assert!(is_stored(&answers[0], seq), "{answers:?}");
        assert_eq!(answers.len(), 1);
    }
    // Nobody knows any more what became of it: "unavailable" asks for a resend.
    assert_eq!(rejection(&stage.answers(refused.id)[0]), "unavailable");
    assert_eq!(stage.metrics().redelivered.get(), 5);
}

/// Trap 4: a crash between store and route: the next owner routes what nobody has acknowledged.
#[tokio::test]
async fn trap4_what_was_stored_and_not_routed_is_routed() {
    let mut stage = Stage::new();
    let room = room_in(1, 0);
    stage.kafka.lose_sends(usize::MAX);
    stage.produce(&command(room, 1, group(&[2])));
    stage.produce(&command(room, 1, say("hello")));
    stage.start();
    stage
        .until("the append", || stage.postgres.lane(1).applied == 1)
        .await;
    stage.kill().await;
    assert_eq!(
        stage.postgres.lane(1).routed,
        -1,
        "routed without an acknowledgement"
    );
    assert!(stage.delivered(room, 2).is_empty());

    stage.kafka.lose_sends(0);
    stage.start();
    stage.settled([-1, 1]).await;
    assert_eq!(stage.delivered(room, 2), [1, 2]);
    assert_eq!(stage.stored(room), [1, 2]);
}

/// Trap 15: the answer to an append is lost; tried again it would fail on its own rows. The lane is
/// read again instead: stored once, delivered, and nobody is told "rejected".
#[tokio::test]
async fn trap15_a_lost_answer_is_not_a_rejection() {
    let (stage, room) = Stage::begun().await;
    let appends = stage.postgres.appends();

    stage.postgres.fault(Fault::AnswerLost);
    let left = command(room, 2, CommandKind::Remove { user: user(2) });
    stage.produce(&left);
    assert!(is_stored(&stage.answer(left.id).await, 2));
    stage.settled([1, -1]).await;
    assert_eq!(stage.stored(room), [1, 2]);
    assert_eq!(stage.delivered(room, 2), [1, 2]);
    let answers = stage.answers(left.id);
    assert!(
        answers.iter().all(|frame| is_stored(frame, 2)),
        "{answers:?}"
    );
    assert_eq!(stage.postgres.appends(), appends + 1, "tried again");
    let metrics = stage.metrics();
    assert_eq!(metrics.commands("stored"), 2, "I10: both counted once");
    assert_eq!(metrics.redelivered.get(), 1);
}

/// The same for a room that nobody remembers: made, used and left in the batch whose answer is lost.
#[tokio::test]
async fn trap15_a_lost_answer_about_a_new_room() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    stage.postgres.fault(Fault::AnswerLost);
    let create = command(room, 1, group(&[2]));
    let said = command(room, 2, say("hello"));
    let left = command(room, 2, CommandKind::Remove { user: user(2) });
    for each in [&create, &said, &left] {
        stage.produce(each);
    }
    stage.start();
    stage.settled([2, -1]).await;
    assert_eq!(stage.stored(room), [1, 2, 3]);
    assert_eq!(stage.delivered(room, 2), [1, 2, 3]);
    for (sent, seq) in [(&create, 1), (&said, 2), (&left, 3)] {
        let answers = stage.answers(sent.id);
        assert!(
            answers.iter().all(|frame| is_stored(frame, seq)),
            "{answers:?}"
        );
        assert!(!answers.is_empty());
    }
}

/// The other half of an unknown outcome: it was not stored. Decided again, from the log.
#[tokio::test]
async fn an_append_that_vanished_is_decided_again() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    stage.postgres.fault(Fault::Vanished);
    let create = command(room, 1, group(&[2]));
    stage.produce(&create);
    stage.start();
    assert!(is_stored(&stage.answer(create.id).await, 1));
    stage.settled([0, -1]).await;
    assert_eq!(stage.delivered(room, 2), [1]);
    assert_eq!(stage.metrics().commands("stored"), 1);
}

/// Trap 12: what can't be stored is found by halves and buried alone; all others are stored, in order.
#[tokio::test]
async fn trap12_bad_data_is_buried_alone() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    stage.produce(&command(room, 1, group(&[2])));
    let mut bad = Vec::new();
    for n in 0..20 {
        let text = if n % 7 == 3 { "bad" } else { "good" };
        let each = command(room, 1, say(text));
        stage.produce(&each);
        if text == "bad" {
            bad.push(each.id);
        }
    }
    stage.start();
    stage.settled([20, -1]).await;
    assert_eq!(stage.stored(room), (1..=18).collect::<Vec<_>>());
    assert_eq!(stage.delivered(room, 2), (1..=18).collect::<Vec<_>>());
    assert_eq!(stage.kafka.sent_to(Sink::Dlq).len(), bad.len());
    for id in bad {
        assert_eq!(rejection(&stage.answers(id)[0]), "invalid");
    }
    let metrics = stage.metrics();
    assert_eq!(metrics.commands("stored"), 18, "I10");
    assert_eq!(metrics.commands("dead_lettered"), 3, "I10");
}

/// I11: what is too large to be buried whole is buried cut, and the lane goes on.
#[tokio::test]
async fn i11_poison_of_the_largest_size_is_buried() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    stage
        .kafka
        .produce_raw(0, "1", &vec![b'x'; 2 * 1024 * 1024]);
    stage.produce(&command(room, 1, group(&[2])));
    stage.start();
    stage.settled([1, -1]).await;
    let buried = stage.kafka.sent_to(Sink::Dlq).remove(0);
    let size = buried.payload.unwrap().len();
    assert!(size < service::kafka::MAX_RECORD_BYTES, "{size}");
}

/// Trap 12: a full disk is no poison: it is waited out, and nothing is buried.
#[tokio::test]
async fn trap12_a_full_disk_is_waited_out() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    for _ in 0..4 {
        stage.postgres.fault(Fault::Unavailable);
    }
    stage.produce(&command(room, 1, group(&[2])));
    stage.start();
    stage.settled([0, -1]).await;
    assert!(stage.kafka.sent_to(Sink::Dlq).is_empty());
    assert_eq!(stage.delivered(room, 2), [1]);
    assert_eq!(stage.postgres.appends(), 5);
}

/// I2: a resend that does not say so, to a process that has never seen the first: the id is taken, it
/// is looked up and answered; what shared its batch is stored.
#[tokio::test]
async fn i2_a_taken_id_is_looked_up_and_answered() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    let said = command(room, 1, say("once"));
    stage.produce(&command(room, 1, group(&[2])));
    stage.produce(&said);
    stage.start();
    stage.settled([1, -1]).await;
    stage.stop().await;

    stage.produce(&command(room, 1, say("before")));
    stage.produce(&said);
    stage.produce(&command(room, 1, say("after")));
    stage.start();
    stage.settled([4, -1]).await;
    assert_eq!(stage.stored(room), [1, 2, 3, 4]);
    assert_eq!(
        stage.delivered(room, 2),
        [1, 2, 3, 4],
        "a duplicate is not fanned out"
    );
    assert!(is_stored(&stage.answers(said.id)[0], 2));
    assert_eq!(stage.metrics().commands("duplicate"), 1, "I10");
}

/// Trap 1: a resend of what is stored, by somebody who was removed since, by a process that does not
/// remember it: not rejected before the store has been asked.
#[tokio::test]
async fn trap1_what_is_stored_is_never_called_rejected() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    let said = command(room, 2, say("once"));
    stage.produce(&command(room, 1, group(&[2])));
    stage.produce(&said);
    stage.produce(&command(room, 1, CommandKind::Remove { user: user(2) }));
    stage.start();
    stage.settled([2, -1]).await;
    stage.stop().await;

    stage.start();
    stage.produce(&said);
    assert!(is_stored(&stage.answer(said.id).await, 2));
    let fresh = command(room, 2, say("twice"));
    stage.produce(&fresh);
    assert_eq!(rejection(&stage.answer(fresh.id).await), "not_member");
}

/// I2: a retry is looked up first, answered, and not fanned out again.
#[tokio::test]
async fn i2_a_retry_is_answered_with_its_seq() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    let mut said = command(room, 1, say("once"));
    stage.produce(&command(room, 1, group(&[2])));
    stage.produce(&said);
    stage.start();
    stage.settled([1, -1]).await;
    stage.stop().await;
    let appends = stage.postgres.appends();

    said.retry = true;
    for _ in 0..5 {
        stage.produce(&said);
    }
    stage.start();
    stage.settled([6, -1]).await;
    let answers = stage.answers(said.id);
    assert_eq!(answers.len(), 5);
    assert!(answers.iter().all(|frame| is_stored(frame, 2)));
    assert_eq!(stage.delivered(room, 2), [1, 2]);
    assert_eq!(
        stage.postgres.appends(),
        appends + 1,
        "no id was found taken"
    );
}
