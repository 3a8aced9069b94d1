//! Frames without seq, and what is remembered of rooms.

use super::*;

fn queries(bench: &Bench) -> Vec<&Query> {
    let mut found = Vec::new();
    for output in &bench.out {
        if let Output::Query(query) = output {
            found.push(query);
        }
    }
    found
}

/// Typing and read marks come after the welcome; a mark that came too early to be sent and too late
/// to be in the answer is read by the settle.
#[test]
fn no_signal_before_the_welcome_and_no_mark_lost() {
    let signal = || Input::Signal(Bytes::from_static(b"typing or a mark"));
    let sends = |bench: &Bench| {
        let sent = |out: &&Output| matches!(out, Output::Send(_));
        bench.out.iter().filter(sent).count()
    };
    let mut bench = Bench::new();
    bench.hello(&[(1, 5)]);
    bench.put(signal());
    bench.put(Input::RouteWritten(Written::Stands));
    bench.put(signal());
    assert_eq!(sends(&bench), 0);
    bench.answer(1, vec![answer(1, 5, 5, &[])]);
    bench.put(signal());
    assert_eq!(sends(&bench), 2, "the welcome, then the signal");
    bench.wait(Duration::from_millis(2_500));
    let marks: Vec<bool> = queries(&bench).iter().map(|query| query.marks).collect();
    assert_eq!(marks, [true, true]);
    let mut settled = answer(1, 5, 5, &[]);
    settled.marks = vec![Bytes::from_static(b"the mark")];
    bench.answer(2, vec![settled]);
    assert_eq!(sends(&bench), 3);

    let mut bench = Bench::live(5);
    bench.wait(Duration::from_millis(2_500));
    assert!(!queries(&bench)[0].marks, "nothing was dropped");
}

/// A hello may name 10,000 rooms that the user is not in: they cost nothing for long. Of some the
/// cursor is kept: I5, an event of a room that the user has left may be routed again.
#[test]
fn i5_few_cursors_of_other_rooms_are_kept() {
    let named: Vec<(i64, i64)> = (1..=10_000).map(|room| (room, 7)).collect();
    let mut bench = Bench::catching_up(&named);
    bench.answer(1, vec![answer(9_000, 7, 7, &[])]);
    bench.out.clear();
    bench.event(9_000, 8);
    bench.event(1, 7);
    assert_eq!(bench.delivered(), ["9000:8"]);
    bench.wait(Duration::from_millis(2_500));
    let kept = queries(&bench)[0].cursors.len();
    assert!((2..=100).contains(&kept), "{kept} cursors");
}
