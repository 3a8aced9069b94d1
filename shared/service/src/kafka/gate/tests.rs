//! Any order of records, answers, refusals and ticks, with librdkafka played.

mod played;

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;

use super::MOST_BYTES;
use super::line::{JOIN, Line, UNDER_WAY, Waiting};
use crate::kafka::{Delivery, Placed, ProduceError};
use played::{BODY, Bench, PATIENCE};

#[derive(Debug, Clone)]
enum Step {
    Send {
        partition: Option<i32>,
        count: usize,
        bytes: usize,
    },
    Answer {
        which: Index,
        delivered: bool,
    },
    Refuse(ProduceError),
    Pass(Duration),
    Tick,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = prop_oneof![9 => 0..300_usize, 1 => 0..BODY.len()];
    let partition = prop_oneof![1 => Just(None), 9 => (0..3).prop_map(Some)];
    let refusal = prop_oneof![
        2 => Just(ProduceError::Full),
        1 => Just(ProduceError::Other("no such partition".to_owned()))
    ];
    let step = prop_oneof![
        6 => (partition, 1..9_usize, bytes)
            .prop_map(|(partition, count, bytes)| Step::Send { partition, count, bytes }),
        20 => (any::<Index>(), prop::bool::weighted(0.8))
            .prop_map(|(which, delivered)| Step::Answer { which, delivered }),
        1 => refusal.prop_map(Step::Refuse),
        6 => (0..800_u64).prop_map(|micros| Step::Pass(Duration::from_micros(micros))),
        1 => Just(Step::Pass(PATIENCE)),
        2 => Just(Step::Tick),
    ];
    prop::collection::vec(step, 1..200)
}

fn now(delivery: &mut Delivery) -> Option<Result<Placed, ProduceError>> {
    let mut context = Context::from_waker(Waker::noop());
    match Pin::new(delivery).poll(&mut context) {
        Poll::Ready(fate) => Some(fate),
        Poll::Pending => None,
    }
}

proptest! {
    #[test]
    fn order_is_kept_and_every_fate_told(steps in steps()) {
        let mut bench = Bench::new();
        for step in steps {
            match step {
                Step::Send { partition, count, bytes } => {
                    for _ in 0..count {
                        let _ = bench.send(partition, bytes);
                    }
                }
                Step::Answer { which, delivered } => {
                    bench.answer(|count| which.index(count), delivered);
                }
                Step::Refuse(error) => bench.refuse(error),
                Step::Pass(time) => bench.pass(time),
                Step::Tick => bench.tick(),
            }
        }
        bench.refuse_no_more();
        bench.tick();
        while bench.answer(|_| 0, true) {}
        prop_assert_eq!(bench.gate.in_flight(), 0);
        for (n, mut delivery) in bench.deliveries {
            let told = now(&mut delivery);
            match bench.fates.remove(&n) {
                Some(fate) => prop_assert_eq!(told, Some(fate)),
                None => prop_assert!(matches!(told, Some(Err(_))), "{} was left behind", n),
            }
        }
        prop_assert!(bench.fates.is_empty());
    }
}

#[test]
fn a_burst_goes_together_and_what_comes_later_waits() {
    let mut bench = Bench::new();
    for _ in 0..50 {
        bench.send(Some(0), 10).unwrap();
    }
    assert_eq!(bench.under_way(), 50);
    bench.pass(JOIN);
    for _ in 0..60 {
        bench.send(Some(0), 10).unwrap();
    }
    for left in (1..50).rev() {
        bench.answer(|_| 0, true);
        assert_eq!(bench.under_way(), left);
    }
    bench.answer(|_| 0, true);
    assert_eq!(bench.under_way(), 60);
    // They linger together: one more joins them.
    bench.send(Some(0), 10).unwrap();
    assert_eq!((bench.under_way(), bench.gate.in_flight()), (61, 61));
}

/// One that comes a little too soon does not wait for all the others.
#[test]
fn what_waits_is_let_go_as_soon_as_it_fits() {
    let mut bench = Bench::new();
    for under_way in [1, 2, 3, 4, 4] {
        bench.send(Some(0), 10).unwrap();
        assert_eq!(bench.under_way(), under_way);
        bench.pass(JOIN);
    }
    bench.answer(|_| 0, true);
    assert_eq!(bench.under_way(), UNDER_WAY);
}

#[test]
fn who_has_waited_too_long_is_taken_out() {
    let mut line = Line::default();
    let begun = Instant::now();
    for second in 0..4_u32 {
        line.wait(waiting(second, begun + Duration::from_secs(second.into())));
    }
    let expired = line.expired(begun + PATIENCE + Duration::from_secs(1), PATIENCE);
    let expired: Vec<_> = expired.into_iter().map(|one| one.item).collect();
    assert_eq!(expired, [0, 1]);
}

fn waiting(item: u32, since: Instant) -> Waiting<u32> {
    let bytes = 100;
    Waiting { item, bytes, since }
}

/// Four are librdkafka's, the others wait here; the bound is one.
#[test]
fn i9_what_waits_counts() {
    let mut bench = Bench::new();
    let full = loop {
        if let Err(error) = bench.send(Some(0), BODY.len()) {
            break error;
        }
        assert!(bench.sent < 1_000, "no bound in sight");
    };
    assert_eq!(full, ProduceError::Full);
    assert_eq!(bench.gate.in_flight(), MOST_BYTES / (BODY.len() + 108));
    assert_eq!(bench.send(None, BODY.len()), Err(ProduceError::Full));
    // What has its fate leaves room.
    bench.answer(|_| 0, true);
    assert_eq!(bench.send(Some(1), BODY.len()), Ok(()));
}

#[test]
fn a_fatal_error_is_told_to_all_that_wait_and_will() {
    let mut bench = Bench::new();
    for _ in 0..10 {
        bench.send(Some(0), 10).unwrap();
        bench.pass(JOIN);
    }
    let fatal = ProduceError::Fatal("out of order".to_owned());
    bench.gate.fail(&fatal);
    for (_, delivery) in &mut bench.deliveries[UNDER_WAY..] {
        assert_eq!(now(delivery), Some(Err(fatal.clone())));
    }
    assert_eq!(bench.gate.in_flight(), UNDER_WAY);
    assert_eq!(bench.send(Some(0), 10), Err(fatal));
    assert_eq!(bench.gate.in_flight(), UNDER_WAY);
}
