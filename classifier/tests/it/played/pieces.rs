//! Batches that make more records than are to be in memory.

use std::sync::Arc;
use std::time::Instant;

use classifier::pipeline::decide::{Recipients, Step};
use classifier::pipeline::route::{self, Committed, PIECE};
use protocol::{Event, EventKind, Seq};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::stage::{Stage, room_in, user};

/// Of so many messages to so many members, none of them connected.
fn batch(messages: i64, members: usize) -> Committed {
    let recipients: Recipients = (100..).map(user).take(members).collect();
    let event = |seq| Event {
        room: room_in(0, 0),
        seq: Seq::new(seq).unwrap(),
        id: Uuid::new_v4(),
        from: user(1),
        at: 0,
        kind: EventKind::message("hi".into()),
    };
    Committed {
        at: Instant::now(),
        events: (1..=messages).map(event).collect(),
        steps: (1..=messages)
            .map(|_| Step::Stored(Arc::clone(&recipients), None))
            .collect(),
        upto: Vec::new(),
        traced: Vec::new(),
    }
}

/// I9: a batch of many messages to large groups is handed on in pieces, which whoever waits for their
/// acknowledgements bounds; only behind the last one it is routed.
#[tokio::test]
async fn i9_a_batch_is_never_in_memory_as_a_whole() {
    let stage = Stage::new();
    let context = stage.context(CancellationToken::new());
    let (to_router, committed) = mpsc::channel(1);
    let (out, mut sent) = mpsc::channel(1);
    let router = tokio::spawn(route::run(context, committed, out));
    for (messages, members, expected) in [
        (3, PIECE - 1_000, vec![PIECE, PIECE, PIECE - 3_000]),
        (2, PIECE, vec![PIECE, PIECE]),
        (1, 10, vec![10]),
        (1, 0, vec![0]),
    ] {
        to_router.send(batch(messages, members)).await.unwrap();
        let mut pieces = Vec::new();
        loop {
            let piece = sent.recv().await.unwrap();
            pieces.push(piece.records.len());
            if piece.end.is_some() {
                break;
            }
        }
        assert_eq!(pieces, expected);
    }
    drop(to_router);
    router.await.unwrap();
    assert!(sent.recv().await.is_none());
}
