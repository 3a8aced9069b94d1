//! Frames out of their order: what is read, what is held, what is dropped (I5).

use super::*;

/// I5: lower is dropped, next is delivered, higher reads the hole first.
#[test]
fn i5_lower_next_higher() {
    let mut bench = Bench::live(5);
    bench.event(1, 6);
    bench.event(1, 6);
    bench.event(1, 3);
    assert_eq!(bench.delivered(), ["1:6"]);
    bench.event(1, 9);
    bench.event(1, 10);
    assert_eq!(bench.delivered(), ["1:6"]);
    assert_eq!(bench.queries(), [2]);
    bench.answer(2, vec![answer(1, 6, 9, &[7, 8, 9])]);
    assert_eq!(bench.delivered(), ["1:6", "1:7", "1:8", "1:9", "1:10"]);
}

/// I5: what is absent after the read is absent (the user was out of the room meanwhile).
#[test]
fn i5_what_is_absent_after_the_read_is_absent() {
    let mut bench = Bench::live(5);
    bench.event(1, 9);
    bench.answer(2, vec![answer(1, 5, 9, &[9])]);
    bench.event(1, 10);
    assert_eq!(bench.delivered(), ["1:9", "1:10"]);
}

/// I3, I5: Postgres has lost its last commits; what is above the head of the answer is not taken, as
/// then what was lost before it, and is stored and routed again, would be taken for seen.
#[test]
fn i3_i5_what_postgres_has_lost_is_awaited() {
    let mut bench = Bench::live(5);
    bench.event(1, 8);
    bench.answer(2, vec![answer(1, 5, 6, &[6])]);
    assert_eq!(bench.delivered(), ["1:6"]);
    for n in 7..=9 {
        bench.event(1, n);
    }
    assert_eq!(bench.delivered(), ["1:6", "1:7", "1:8", "1:9"]);
    assert_eq!(bench.queries(), [2]);
}

/// I5: a room that waits without a cursor is named among all rooms: the user may have left it.
#[test]
fn i5_a_room_that_waits_is_named_among_all() {
    let mut bench = Bench::live(5);
    bench.event(1, 7);
    bench.event(2, 4);
    bench.wait(Duration::from_millis(2_500));
    bench.answer(2, vec![answer(1, 5, 7, &[6, 7])]);
    let queries = bench.out.iter().filter_map(|output| match output {
        Output::Query(query) => Some(query),
        _ => None,
    });
    let last = queries.last().unwrap();
    assert_eq!(last.rooms, Rooms::All);
    assert!(last.cursors.contains(&(room(2), None)), "{last:?}");
}

/// Trap 8: a hole that is noticed while a query is under way must not join it: that query's
/// snapshot may be older than the hole.
#[test]
fn trap_8_a_hole_does_not_join_a_query_under_way() {
    let mut bench = Bench::live(5);
    bench.event(1, 7);
    assert_eq!(bench.queries(), [2]);
    bench.event(2, 4);
    assert_eq!(bench.queries(), [2], "one at a time");
    bench.answer(2, vec![answer(1, 5, 7, &[6, 7])]);
    assert_eq!(bench.delivered(), ["1:6", "1:7"]);
    assert_eq!(
        bench.queries(),
        [2, 3],
        "the other room's query is a new one"
    );
    bench.answer(3, vec![answer(2, 2, 4, &[3, 4])]);
    assert_eq!(bench.delivered(), ["1:6", "1:7", "2:3", "2:4"]);
}

/// A frame that came after the query was sent, with a hole before it that the answer does not
/// know: another query, not a silent skip.
#[test]
fn i5_a_hole_above_the_answers_head_is_read_again() {
    let mut bench = Bench::live(5);
    bench.event(1, 7);
    bench.event(1, 12);
    bench.answer(2, vec![answer(1, 5, 8, &[6, 7, 8])]);
    assert_eq!(bench.delivered(), ["1:6", "1:7", "1:8"]);
    assert_eq!(bench.queries(), [2, 3]);
    bench.answer(3, vec![answer(1, 8, 12, &[9, 10, 11, 12])]);
    assert_eq!(bench.delivered().last().unwrap(), "1:12");
}

/// Trap 13: frames without seq (read marks, typing) never touch the order, whatever is in them.
#[test]
fn trap_13_a_read_mark_is_no_seq() {
    let mut bench = Bench::live(5);
    let user = UserId::new(2).unwrap();
    let mark = ServerFrame::Read {
        room: room(1),
        user,
        upto: seq(40),
    };
    bench.put(Input::Signal(mark.encode()));
    bench.event(1, 6);
    assert_eq!(bench.sent(), [mark]);
    assert_eq!(bench.delivered(), ["1:6"]);
    assert!(bench.queries().is_empty());
}

/// I9: held frames that overflow are dropped and read instead.
#[test]
fn i9_held_overflow_is_read() {
    let mut bench = Bench::catching_up(&[(1, 0)]);
    for n in 1..=12 {
        bench.event(1, n);
    }
    bench.answer(1, vec![answer(1, 0, 2, &[1, 2])]);
    assert_eq!(bench.delivered(), ["1:1", "1:2"]);
    assert_eq!(
        bench.queries(),
        [1, 2],
        "the dropped ones are read without waiting"
    );
    bench.answer(2, vec![answer(1, 2, 12, &(3..=12).collect::<Vec<_>>())]);
    let expected: Vec<String> = (1..=12).map(|n| format!("1:{n}")).collect();
    assert_eq!(bench.delivered(), expected);
}
