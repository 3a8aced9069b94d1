//! Settle and audit: what no record brings is read.

use super::*;

/// Until an audit's route is being written.
fn auditing() -> Bench {
    let mut bench = Bench::live(5);
    bench.wait(Duration::from_millis(2_500));
    bench.answer(2, vec![answer(1, 5, 5, &[])]);
    bench.out.clear();
    for _ in 0..5 {
        bench.wait(Duration::from_secs(24));
        bench.pong();
    }
    let routes = bench
        .out
        .iter()
        .filter(|o| matches!(o, Output::WriteRoute(_)))
        .count();
    assert!((1..=2).contains(&routes), "{routes} in 120 s");
    assert!(
        bench.queries().is_empty(),
        "not before the route is acknowledged"
    );
    bench
}

/// I4: what a lost route cost is found, counted, and settled once more.
#[test]
fn i4_the_audit_heals_a_lost_route() {
    let mut bench = auditing();
    bench.put(Input::RouteWritten(Written::Restored));
    assert_eq!(bench.queries(), [3]);
    bench.answer(3, vec![answer(1, 5, 6, &[6])]);
    assert_eq!(bench.delivered(), ["1:6"]);
    assert!(bench.out.iter().any(|o| matches!(o, Output::Audited(1))));
    bench.wait(Duration::from_millis(2_500));
    assert_eq!(bench.queries(), [3, 4], "settled once more");
}

/// With the route in its place, what the audit finds is merely on its way: nothing to be counted.
#[test]
fn the_audit_counts_only_what_a_lost_route_cost() {
    let mut bench = auditing();
    bench.put(Input::RouteWritten(Written::Stands));
    bench.answer(3, vec![answer(1, 5, 6, &[6])]);
    bench.event(1, 6);
    assert_eq!(bench.delivered(), ["1:6"]);
    assert!(!bench.out.iter().any(|o| matches!(o, Output::Audited(_))));
    bench.wait(Duration::from_millis(2_500));
    assert_eq!(bench.queries(), [3], "nothing to settle");
}

/// I4: while Redis is away nothing else would find what was missed.
#[test]
fn i4_the_audit_does_not_need_redis() {
    let mut bench = auditing();
    bench.put(Input::RouteWritten(Written::Failed));
    assert_eq!(bench.queries(), [3]);
    bench.answer(3, vec![answer(1, 5, 6, &[6])]);
    assert_eq!(bench.delivered(), ["1:6"]);
    assert_eq!(bench.closed(), None);
}

/// I4: a settle that failed is asked again, also when a hole is read meanwhile.
#[test]
fn i4_a_failed_settle_is_not_forgotten() {
    let mut bench = Bench::live(5);
    bench.wait(Duration::from_millis(2_500));
    bench.put(Input::Answered {
        number: 2,
        answer: None,
    });
    bench.event(1, 7);
    bench.answer(3, vec![answer(1, 5, 7, &[6, 7])]);
    bench.wait(Duration::from_secs(1));
    assert_eq!(bench.queries(), [2, 3, 4]);
}
