//! Rebuild: the home was claimed anew, or routes were lost.

use super::*;

/// The writes that were asked for, in order.
fn writes(bench: &Bench) -> Vec<Writing> {
    let why = |output: &Output| match output {
        Output::WriteRoute(why) => Some(*why),
        _ => None,
    };
    bench.out.iter().filter_map(why).collect()
}

/// I4: route first, then what was missed, then the settle; the client notices nothing of it.
#[test]
fn i4_a_rebuild_writes_the_route_catches_up_and_settles() {
    let mut bench = Bench::live(5);
    bench.wait(Duration::from_millis(2_500));
    bench.answer(2, vec![answer(1, 5, 5, &[])]);
    bench.out.clear();
    bench.put(Input::Rebuild(Home(3)));
    assert_eq!(writes(&bench), [Writing::Rebuild]);
    assert!(bench.queries().is_empty(), "not before it is acknowledged");
    bench.put(Input::RouteWritten(Written::Restored));
    bench.answer(3, vec![answer(1, 5, 6, &[6])]);
    assert_eq!(bench.delivered(), ["1:6"]);
    bench.wait(Duration::from_millis(2_500));
    assert_eq!(bench.queries(), [3, 4]);
    bench.answer(4, vec![answer(1, 6, 7, &[7])]);
    assert_eq!(bench.delivered(), ["1:6", "1:7"]);
    assert_eq!(bench.closed(), None);
}

/// Answers to commands come to the home as it is now.
#[test]
fn commands_name_the_new_home() {
    let mut bench = Bench::live(5);
    bench.put(Input::Rebuild(Home(3)));
    bench.put(Input::Frame(send(9, "hi"), Ok(())));
    let home = bench.out.iter().find_map(|output| match output {
        Output::Produce(command) => command.origin.map(|origin| origin.home),
        _ => None,
    });
    assert_eq!(home, Some(Home(3)));
}

/// Of two writes at once the older could be the one that stays: the second waits for the first.
#[test]
fn a_rebuild_waits_for_the_write_under_way() {
    let mut bench = Bench::new();
    bench.hello(&[(1, 5)]);
    bench.put(Input::Rebuild(Home(3)));
    assert_eq!(writes(&bench), [Writing::First]);
    bench.put(Input::RouteWritten(Written::Stands));
    assert_eq!(writes(&bench), [Writing::First, Writing::Rebuild]);
    assert!(
        bench.queries().is_empty(),
        "the route leads to an ended claim"
    );
    bench.put(Input::RouteWritten(Written::Stands));
    assert_eq!(bench.queries(), [1]);
}

/// While Redis fails a rebuild is tried again and again, and the session goes on.
#[test]
fn a_failed_rebuild_is_tried_again() {
    let mut bench = Bench::live(5);
    bench.put(Input::Rebuild(Home(3)));
    for n in 2..5 {
        bench.put(Input::RouteWritten(Written::Failed));
        bench.wait(Duration::from_millis(900));
        assert_eq!(writes(&bench).len(), n - 1, "not at once");
        bench.wait(Duration::from_millis(1_100));
        assert_eq!(writes(&bench).len(), n);
    }
    assert_eq!(bench.queries(), [2], "the first settle");
    bench.put(Input::RouteWritten(Written::Restored));
    bench.answer(2, vec![answer(1, 5, 5, &[])]);
    assert_eq!(bench.queries(), [2, 3], "one that knows the new route");
    assert_eq!(bench.closed(), None);
}
