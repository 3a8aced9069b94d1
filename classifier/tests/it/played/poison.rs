//! I11: what can never be processed, or never be sent, is put aside with its reason and counted, and
//! its lane goes on.

use classifier::ports::Sink;
use protocol::{DlqReason, Home, header};

use super::stage::{Stage, command, group, is_stored, rejection, room_in, say};

/// An answer is asked for on a home that does not exist; there is nobody to answer, and nothing waits.
#[tokio::test]
async fn i11_an_origin_without_a_home_blocks_nothing() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    let mut stray = Vec::new();
    for home in [9_999, 0, -1] {
        let mut refused = command(room, 1, say("no such room"));
        refused.origin.as_mut().unwrap().home = Home(home);
        stage.produce(&refused);
        stray.push(Sink::Home(Home(home)));
    }
    let create = command(room, 1, group(&[2]));
    stage.produce(&create);
    stage.start();
    stage.settled([3, -1]).await;
    assert!(is_stored(&stage.answer(create.id).await, 1));
    for sink in stray {
        assert!(stage.kafka.sent_to(sink).is_empty(), "{sink:?}");
    }
    assert_eq!(stage.metrics().unknown_homes("origin"), 3);
}

/// A route to a home that does not exist is no route: the others get the event, its user a push.
#[tokio::test]
async fn i11_a_route_without_a_home_is_no_route() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    stage.produce(&command(room, 1, group(&[2, 98, 99])));
    stage.start();
    stage.settled([0, -1]).await;
    assert_eq!(stage.delivered(room, 2), [1]);
    assert_eq!(stage.kafka.sent_to(Sink::Push).len(), 2);
    assert_eq!(stage.metrics().unknown_homes("route"), 2);
}

/// A record that Kafka refuses for good is buried, and all others are delivered.
#[tokio::test]
async fn i11_what_kafka_never_takes_is_buried() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    stage.kafka.refuse(Sink::Home(Home(3)));
    stage.produce(&command(room, 1, group(&[2, 3])));
    stage.produce(&command(room, 1, say("goes on")));
    stage.start();
    stage.settled([1, -1]).await;
    assert_eq!(stage.delivered(room, 2), [1, 2]);
    let buried = stage.kafka.sent_to(Sink::Dlq);
    assert_eq!(buried.len(), 2);
    for (letter, seq) in buried.iter().zip([1_i64, 2]) {
        let find = |name| letter.headers.iter().find(|(n, _)| *n == name);
        let reason = &find(header::REASON).unwrap().1;
        assert_eq!(&reason[..], b"undeliverable");
        assert_eq!(&find(header::SEQ).unwrap().1[..], seq.to_le_bytes());
        assert!(find(header::TO).is_none(), "may be as large as a record");
    }
    let counted = stage.metrics().dead_letters(DlqReason::Undeliverable);
    assert_eq!(counted, 2);
}

/// If even the dead letter is refused, the lane goes on without it.
#[tokio::test]
async fn i11_a_dead_letter_that_is_refused_blocks_nothing() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    stage.kafka.refuse(Sink::Dlq);
    stage.kafka.produce_raw(0, "1", b"garbage");
    stage.produce(&command(room, 1, group(&[2])));
    stage.start();
    stage.settled([1, -1]).await;
    assert_eq!(stage.delivered(room, 2), [1]);
}

/// A room whose rows can't be read blocks nobody else's: its commands are found by halves and buried, and
/// their origins told that it is unknown what became of them, for they may be stored. So are redelivered
/// ones.
#[tokio::test]
async fn i11_an_unreadable_room_is_buried_alone() {
    let mut stage = Stage::new();
    let (good, corrupt) = (room_in(0, 0), room_in(0, 1));
    stage.produce(&command(corrupt, 1, group(&[3])));
    stage.start();
    stage.settled([0, -1]).await;
    stage.kill().await;
    // The first is read again: nobody has noted that it was routed.
    stage.postgres.change_lane(0, |row| row.routed = -1);
    stage.postgres.corrupt(corrupt);

    let create = command(good, 1, group(&[2]));
    stage.produce(&create);
    let mut buried = Vec::new();
    for _ in 0..3 {
        let said = command(corrupt, 1, say("to nobody"));
        stage.produce(&said);
        buried.push(said.id);
        stage.produce(&command(good, 1, say("goes on")));
    }
    stage.start();
    stage.settled([7, -1]).await;
    assert_eq!(stage.delivered(good, 2), [1, 2, 3, 4]);
    for id in buried {
        assert_eq!(rejection(&stage.answer(id).await), "unavailable");
    }
    assert_eq!(stage.kafka.sent_to(Sink::Dlq).len(), 4);
    let metrics = stage.metrics();
    assert_eq!(metrics.dead_letters(DlqReason::Unreadable), 4);
    assert_eq!(metrics.commands("dead_lettered"), 3, "I10: new ones only");
}

/// A command that can be read but not stored is buried, and who waits for it is told; nobody waits for
/// what can't be read. A dead letter keeps the key that it came with, cut if need be.
#[tokio::test]
async fn i11_a_body_over_the_limits_is_buried_and_answered() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    let long = command(room, 1, say(&"x".repeat(100_001)));
    stage.produce(&long);
    stage
        .kafka
        .produce_raw(0, &"k".repeat(1_000_000), b"garbage");
    let create = command(room, 1, group(&[2]));
    stage.produce(&create);
    stage.start();
    stage.settled([2, -1]).await;
    assert_eq!(rejection(&stage.answer(long.id).await), "invalid");
    assert!(is_stored(&stage.answer(create.id).await, 1));
    let letters = stage.kafka.sent_to(Sink::Dlq);
    let told: Vec<_> = letters
        .iter()
        .map(|letter| {
            let find = |name| &letter.headers.iter().find(|(n, _)| *n == name).unwrap().1;
            (
                find(header::REASON).clone(),
                find(header::ORIGIN_KEY).clone(),
            )
        })
        .collect();
    assert_eq!(told[0], ("bad_data".into(), long.key().into()));
    assert_eq!(told[1], ("undecodable".into(), "k".repeat(512).into()));
    assert_eq!(stage.metrics().commands("dead_lettered"), 2, "I10");
}

/// What is no signal is buried as well, under its own topic, and signals go on.
#[tokio::test]
async fn i11_poison_among_signals_is_buried() {
    let stage = {
        let mut stage = Stage::new();
        stage.kafka.produce_signal(0, b"\xffgarbage");
        stage
            .kafka
            .produce_signal(0, br#"{"v":2,"kind":"thinking"}"#);
        stage.start();
        stage
    };
    stage
        .until("two dead letters", || {
            stage.kafka.sent_to(Sink::Dlq).len() == 2
        })
        .await;
    for (letter, reason) in stage
        .kafka
        .sent_to(Sink::Dlq)
        .iter()
        .zip(["undecodable", "unknown_version"])
    {
        let find = |name| &letter.headers.iter().find(|(n, _)| *n == name).unwrap().1;
        assert_eq!(find(header::REASON), reason);
        assert_eq!(find(header::ORIGIN_TOPIC), "chat-signal");
    }
}
