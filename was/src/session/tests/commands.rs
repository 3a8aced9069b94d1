//! What a client asks for, and what it is told at once.

use super::*;

/// I1: `accepted` only when Kafka has it; trap 12: U+0000 is refused at the door.
#[test]
fn i1_a_command_is_accepted_only_after_kafka_and_checked_before() {
    let mut bench = Bench::live(5);
    bench.put(Input::Frame(send(1, "hi"), Ok(())));
    let produced = bench.out.iter().any(|output| {
        matches!(output, Output::Produce(command)
            if command.kind == CommandKind::Message { body: "hi".to_owned() }
                && command.sender == UserId::new(1).unwrap()
                && command.origin.is_some_and(|o| o.home == Home(1)))
    });
    assert!(produced);
    assert!(bench.sent().is_empty());
    bench.put(Input::Produced(MessageId::from_u128(1), true));
    assert_eq!(
        bench.sent(),
        [ServerFrame::Accepted {
            id: MessageId::from_u128(1)
        }]
    );
    bench.out.clear();
    bench.put(Input::Frame(send(2, "a\0b"), Ok(())));
    bench.put(Input::Frame(send(3, &"x".repeat(100_001)), Ok(())));
    bench.put(Input::Frame(send(4, "hi"), Err(Duration::from_millis(30))));
    bench.put(Input::Produced(MessageId::from_u128(5), false));
    let codes: Vec<(RejectCode, Option<u64>)> = bench
        .sent()
        .into_iter()
        .map(|frame| match frame {
            ServerFrame::Rejected {
                code,
                retry_after_ms,
                ..
            } => (code, retry_after_ms),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        codes,
        [
            (RejectCode::Invalid, None),
            (RejectCode::Invalid, None),
            (RejectCode::RateLimited, Some(30)),
            (RejectCode::Unavailable, None),
        ]
    );
    assert!(
        !bench
            .out
            .iter()
            .any(|output| matches!(output, Output::Produce(_)))
    );
}

#[test]
fn watch_is_not_available_and_too_many_errors_close() {
    let mut bench = Bench::live(5);
    bench.put(Input::Frame(
        ClientFrame::Watch { users: Vec::new() },
        Ok(()),
    ));
    assert!(matches!(
        bench.sent().as_slice(),
        [ServerFrame::Error {
            code: ErrorCode::NotAvailable,
            ..
        }]
    ));
    for _ in 0..3 {
        bench.put(Input::Malformed(ErrorCode::Malformed, "no".to_owned()));
    }
    assert_eq!(bench.closed(), None);
    bench.put(Input::Malformed(ErrorCode::Malformed, "no".to_owned()));
    assert_eq!(bench.closed(), Some(CloseCode::TooManyErrors));
    bench.out.clear();
    bench.event(1, 6);
    assert!(bench.out.is_empty(), "nothing after the end");
}
