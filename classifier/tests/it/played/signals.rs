//! Typing and read marks: without a seq, and yet each ends in one counted outcome.

use classifier::ports::Sink;
use protocol::{Home, RoomId, Seq, ServerFrame, SignalKind, SignalRecord, VERSION};

use super::stage::{Stage, user};

fn read(room: RoomId, by: i64, seq: i64) -> Vec<u8> {
    let signal = SignalRecord {
        v: VERSION,
        room,
        sender: user(by),
        at: 0,
        kind: SignalKind::Read {
            seq: Seq::new(seq).unwrap(),
        },
    };
    serde_json::to_vec(&signal).unwrap()
}

/// The seqs up to which home 2 was told that somebody has read.
fn marks(stage: &Stage) -> Vec<i64> {
    let sent = stage.kafka.sent_to(Sink::Home(Home(2)));
    let frames = sent.iter().filter_map(|record| {
        match serde_json::from_slice(record.payload.as_deref().unwrap()) {
            Ok(ServerFrame::Read { upto, .. }) => Some(upto.get()),
            _ => None,
        }
    });
    frames.collect()
}

/// A mark that is stored is told, also when Postgres goes away between storing it and reading who is to
/// be told. One that raises nothing is counted as that (I10).
#[tokio::test]
async fn a_stored_mark_is_told_though_postgres_goes_away() {
    let (stage, room) = Stage::begun().await;

    stage.postgres.lose_reads(3);
    stage.kafka.produce_signal(0, &read(room, 1, 1));
    stage.until("the mark", || marks(&stage) == [1]).await;
    stage.kafka.produce_signal(0, &read(room, 1, 1));
    let signals = &stage.metrics().signals;
    stage
        .until("its count", || {
            signals.with_label_values(&["without_effect"]).get() == 1
        })
        .await;
    assert_eq!(marks(&stage), [1]);
    assert_eq!(signals.with_label_values(&["sent"]).get(), 1);
}
