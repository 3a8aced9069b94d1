//! Recipients of whom nothing is known: every gateway is told, and nobody waits for Redis.

use std::collections::BTreeMap;

use bytes::Bytes;
use classifier::ports::{Outgoing, Sink};
use protocol::{
    DeliveryHeaders, Home, PushRecord, RoomId, Seq, ServerFrame, SignalKind, SignalRecord, Target,
    UserId, VERSION,
};

use super::stage::{Stage, command, group, room_in, say, user};

fn headers(record: &Outgoing) -> DeliveryHeaders {
    let headers = record.headers.iter();
    DeliveryHeaders::decode(headers.map(|(name, value)| (*name, &value[..]))).unwrap()
}

/// What all gateways were told: for each record its room, its seq, and for whom it is.
fn broadcast(stage: &Stage) -> Vec<(Option<RoomId>, Option<i64>, Vec<UserId>)> {
    let sent = stage.kafka.sent_to(Sink::Broadcast);
    let told = sent.iter().map(|record| {
        let headers = headers(record);
        assert!(headers.blind, "a reader would answer for who is not there");
        let Target::Users(users) = headers.target else {
            panic!("{headers:?}")
        };
        (headers.room, headers.seq.map(Seq::get), users)
    });
    told.collect()
}

/// Who is to be pushed what: whether it has to be checked, by user and seq.
fn pushes(stage: &Stage) -> BTreeMap<(i64, i64), bool> {
    let sent = stage.kafka.sent_to(Sink::Push);
    let pushes = sent.iter().map(|record| {
        let push = PushRecord::decode(record.key.as_deref(), record.payload.as_deref()).unwrap();
        ((push.user.get(), push.seq.get()), push.check)
    });
    pushes.collect()
}

/// Trap 10: of the shards of some recipients nothing is known. They are neither passed over nor taken
/// for absent: one record to all gateways, and a push to be checked for each; the sender is never
/// pushed (I8). The others are routed as ever.
#[tokio::test]
async fn trap_10_of_whom_nothing_is_known_all_gateways_are_told() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    stage.kafka.know_nothing_of(&[user(1), user(3), user(101)]);
    stage.produce(&command(room, 1, group(&[2, 3, 100, 101])));
    stage.produce(&command(room, 2, say("hello")));
    stage.start();
    stage.settled([1, -1]).await;

    let unknown = vec![user(1), user(3), user(101)];
    let expected = [1, 2].map(|seq| (Some(room), Some(seq), unknown.clone()));
    assert_eq!(broadcast(&stage), expected);
    assert_eq!(stage.delivered(room, 2), [1, 2]);
    assert_eq!(stage.delivered(room, 1), [0; 0], "sent to a home by guess");
    let expected = [
        ((1, 2), true),
        ((3, 1), true),
        ((3, 2), true),
        ((100, 1), false),
        ((100, 2), false),
        ((101, 1), true),
        ((101, 2), true),
    ];
    assert_eq!(pushes(&stage), BTreeMap::from(expected));
    // The same bytes as everybody's.
    let frames = |sink| -> Vec<Option<Bytes>> {
        let sent = stage.kafka.sent_to(sink).into_iter();
        sent.map(|record| record.payload).collect()
    };
    assert_eq!(frames(Sink::Broadcast), frames(Sink::Home(Home(2))));
    assert_eq!(stage.metrics().broadcast.get(), 2);
}

/// Redis is away and stays away: lanes go on, every recipient is looked for everywhere, and what was
/// known before the outage is known again after it.
#[tokio::test]
async fn lanes_go_on_while_redis_is_away() {
    let mut stage = Stage::new();
    let room = room_in(1, 0);
    stage.kafka.lose_lookups(usize::MAX);
    stage.produce(&command(room, 1, group(&[2, 100])));
    for n in 0..20 {
        stage.produce(&command(room, 1, say(&n.to_string())));
    }
    stage.start();
    stage.settled([-1, 20]).await;
    let told = broadcast(&stage);
    let expected = (1..=21).map(|seq| (Some(room), Some(seq), vec![user(1), user(2), user(100)]));
    assert_eq!(told, expected.collect::<Vec<_>>());
    let all: BTreeMap<_, _> = (1..=21)
        .flat_map(|seq| [((2, seq), true), ((100, seq), true)])
        .collect();
    assert_eq!(pushes(&stage), all);
    assert!(stage.metrics().route_failures.get() > 0);

    stage.kafka.lose_lookups(0);
    stage.kafka.forget_sent();
    stage.produce(&command(room, 2, say("back")));
    stage.settled([-1, 21]).await;
    assert_eq!(stage.delivered(room, 1), [22]);
    assert_eq!(stage.delivered(room, 2), [22]);
    assert_eq!(broadcast(&stage), []);
    assert_eq!(pushes(&stage), BTreeMap::from([((100, 22), false)]));
}

/// Signals have no push: all gateways are told, once.
#[tokio::test]
async fn a_signal_for_the_unknown_goes_to_all_gateways() {
    let mut stage = Stage::new();
    let room = room_in(0, 0);
    stage.produce(&command(room, 1, group(&[2, 3])));
    stage.start();
    stage.settled([0, -1]).await;
    stage.kafka.forget_sent();

    stage.kafka.know_nothing_of(&[user(3)]);
    let signal = SignalRecord {
        v: VERSION,
        room,
        sender: user(1),
        at: i64::MAX,
        kind: SignalKind::Typing,
    };
    let signal = serde_json::to_vec(&signal).unwrap();
    stage.kafka.produce_signal(0, &signal);
    let told = || stage.kafka.sent_to(Sink::Broadcast);
    stage.until("the signal", || !told().is_empty()).await;
    assert_eq!(broadcast(&stage), [(Some(room), None, vec![user(3)])]);
    let frame: ServerFrame = serde_json::from_slice(told()[0].payload.as_deref().unwrap()).unwrap();
    assert!(matches!(frame, ServerFrame::Typing { .. }), "{frame:?}");
    assert_eq!(stage.kafka.sent_to(Sink::Home(Home(2))).len(), 1);
    assert_eq!(pushes(&stage), BTreeMap::new());
}
