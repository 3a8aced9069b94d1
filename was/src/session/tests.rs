//! The machine, input by input; [`properties`] tries every order.

mod audits;
mod commands;
mod confirming;
mod holes;
mod properties;
mod rebuilds;
mod signals;

use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::{
    ClientFrame, CloseCode, CommandKind, ErrorCode, Home, Limits, MessageId, RejectCode, RoomId,
    Seq, ServerFrame, UserId,
};

use super::*;

fn rules() -> Rules {
    Rules {
        was: "was-0".to_owned(),
        greet_within: Duration::from_secs(5),
        ping_every: Duration::from_secs(25),
        settle_after: Duration::from_millis(2_500),
        audit_least: Duration::from_secs(60),
        audit_most: Duration::from_secs(120),
        retry_after: Duration::from_secs(1),
        held_frames: 8,
        held_bytes: 1_000_000,
        cursors: 100,
        errors: 3,
        limits: Limits {
            body_chars: 100_000,
            body_bytes: 400_000,
            frame_bytes: 1_310_720,
            rate_per_second: 20,
            rate_burst: 100,
            replay_room: 300,
            replay_total: 1_000,
        },
    }
}

fn room(id: i64) -> RoomId {
    RoomId::new(id).unwrap()
}

fn seq(n: i64) -> Seq {
    Seq::new(n).unwrap()
}

/// The frame of an event, readable in failures.
fn frame(room: i64, n: i64) -> Bytes {
    Bytes::from(format!("{room}:{n}"))
}

/// A session on a bench: what it does is kept.
struct Bench {
    session: Session,
    rules: Rules,
    start: Instant,
    now: Duration,
    out: Vec<Output>,
}

impl Bench {
    fn new() -> Self {
        let (rules, start) = (rules(), Instant::now());
        let now = Now {
            tick: start,
            wall_ms: 0,
        };
        let session = Session::new(uuid::Uuid::from_u128(1), 7, now, &rules);
        Self {
            session,
            rules,
            start,
            now: Duration::ZERO,
            out: Vec::new(),
        }
    }

    /// Greeted, with its first answer outstanding.
    fn catching_up(cursors: &[(i64, i64)]) -> Self {
        let mut bench = Self::new();
        bench.hello(cursors);
        bench.put(Input::RouteWritten(Written::Stands));
        assert!(matches!(bench.session.phase(), Phase::CatchingUp { .. }));
        bench
    }

    /// Live in room 1 up to `last`.
    fn live(last: i64) -> Self {
        let mut bench = Self::catching_up(&[(1, last)]);
        bench.answer(1, vec![answer(1, last, last, &[])]);
        assert!(matches!(bench.session.phase(), Phase::Live { .. }));
        bench.out.clear();
        bench
    }

    fn hello(&mut self, cursors: &[(i64, i64)]) {
        let cursors = cursors.iter().map(|&(r, s)| (room(r), seq(s))).collect();
        let user = UserId::new(1).unwrap();
        self.put(Input::Hello(Hello {
            user,
            home: Home(1),
            cursors,
        }));
    }

    fn put(&mut self, input: Input) {
        let now = Now {
            tick: self.start + self.now,
            wall_ms: 1_000,
        };
        self.session.step(input, now, &self.rules, &mut self.out);
    }

    fn event(&mut self, r: i64, n: i64) {
        self.put(Input::Live {
            room: room(r),
            seq: seq(n),
            frame: Some(frame(r, n)),
            round: None,
        });
    }

    /// Answers the last ping, if there was one.
    fn pong(&mut self) {
        let ping = self.out.iter().rev().find_map(|output| match output {
            Output::Ping(count) => Some(*count),
            _ => None,
        });
        if let Some(count) = ping {
            self.put(Input::Pong(count));
        }
    }

    fn answer(&mut self, number: u32, rooms: Vec<RoomAnswer>) {
        self.put(Input::Answered {
            number,
            answer: Some(Answer { rooms }),
        });
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.put(Input::Tick);
    }

    fn delivered(&self) -> Vec<String> {
        let text = |frame: &Bytes| String::from_utf8(frame.to_vec()).unwrap();
        self.out
            .iter()
            .filter_map(|output| match output {
                Output::Deliver(frame) => Some(text(frame)),
                _ => None,
            })
            .collect()
    }

    fn sent(&self) -> Vec<ServerFrame> {
        self.out
            .iter()
            .filter_map(|output| match output {
                Output::Send(frame) => serde_json::from_slice(frame).ok(),
                _ => None,
            })
            .collect()
    }

    fn queries(&self) -> Vec<u32> {
        self.out
            .iter()
            .filter_map(|output| match output {
                Output::Query(query) => Some(query.number),
                _ => None,
            })
            .collect()
    }

    fn closed(&self) -> Option<CloseCode> {
        self.out.iter().find_map(|output| match output {
            Output::Close(code) => Some(*code),
            _ => None,
        })
    }
}

fn answer(r: i64, from: i64, head: i64, events: &[i64]) -> RoomAnswer {
    RoomAnswer {
        room: room(r),
        from: seq(from),
        clamped: false,
        head: seq(head),
        gap: None,
        events: events.iter().map(|&n| (seq(n), frame(r, n))).collect(),
        marks: Vec::new(),
    }
}

fn send(id: u128, body: &str) -> ClientFrame {
    ClientFrame::Send {
        room: room(1),
        id: MessageId::from_u128(id),
        body: body.to_owned(),
        retry: false,
    }
}

/// I4: entered, then the route, then (acknowledged) the query, the welcome, what was held, then settled.
/// Trap 8: the entry is first.
#[test]
fn i4_register_then_route_then_query_then_settle() {
    let mut bench = Bench::new();
    bench.hello(&[(1, 5)]);
    let order: Vec<&str> = bench
        .out
        .iter()
        .map(|output| match output {
            Output::Register(_) => "register",
            Output::WriteRoute(_) => "route",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(order, ["register", "route"]);
    bench.event(1, 7);
    assert!(
        bench.queries().is_empty(),
        "no query before the route is acknowledged"
    );
    bench.put(Input::RouteWritten(Written::Stands));
    assert_eq!(bench.queries(), [1]);
    bench.event(1, 8);
    assert!(bench.delivered().is_empty(), "held until the answer");
    assert!(
        bench.sent().is_empty(),
        "who is welcomed earlier could send what is below the baseline"
    );
    bench.answer(1, vec![answer(1, 5, 7, &[6, 7])]);
    assert_eq!(bench.delivered(), ["1:6", "1:7", "1:8"]);
    bench.out.clear();
    bench.wait(Duration::from_millis(2_499));
    assert!(bench.queries().is_empty());
    bench.wait(Duration::from_millis(1));
    assert_eq!(
        bench.queries(),
        [2],
        "settled once, the route cache's bound after the route"
    );
    bench.answer(2, vec![answer(1, 8, 9, &[9])]);
    bench.event(1, 9);
    assert_eq!(
        bench.delivered(),
        ["1:9"],
        "found by the settle, and its late record dropped"
    );
    bench.out.clear();
    bench.wait(Duration::from_secs(10));
    assert!(bench.queries().is_empty(), "only once");
}

/// I5: the welcome comes before anything of a room, and names where the rooms begin that had no cursor, so
/// that the next hello can name them.
#[test]
fn i5_the_welcome_names_where_unnamed_rooms_begin() {
    let mut bench = Bench::catching_up(&[(1, 5)]);
    bench.answer(1, vec![answer(1, 5, 6, &[6]), answer(2, 40, 40, &[])]);
    let Some(Output::Send(first)) = bench
        .out
        .iter()
        .find(|out| matches!(out, Output::Send(_) | Output::Deliver(_)))
    else {
        panic!("{:?}", bench.out);
    };
    let ServerFrame::Welcome { cursors, .. } = serde_json::from_slice(first).unwrap() else {
        panic!("{first:?}");
    };
    assert_eq!(cursors, [(room(2), seq(40))].into());
    bench.event(2, 41);
    assert_eq!(bench.delivered(), ["1:6", "2:41"]);
}

#[test]
fn a_gap_is_told_and_skipped() {
    let mut bench = Bench::catching_up(&[(1, 5)]);
    let mut found = answer(1, 5, 900, &[899, 900]);
    found.gap = Some((seq(6), seq(898)));
    bench.answer(1, vec![found]);
    let gap = ServerFrame::Gap {
        room: room(1),
        from: seq(6),
        to: seq(898),
    };
    assert!(bench.sent().contains(&gap));
    assert_eq!(bench.delivered(), ["1:899", "1:900"]);
}

#[test]
fn without_a_cursor_the_baseline_is_the_head() {
    let mut bench = Bench::catching_up(&[]);
    bench.event(1, 41);
    bench.answer(1, vec![answer(1, 40, 40, &[])]);
    assert_eq!(bench.delivered(), ["1:41"]);
}

#[test]
fn a_cursor_above_the_head_is_lowered_and_said_so() {
    let mut bench = Bench::catching_up(&[(1, 99)]);
    let mut found = answer(1, 40, 40, &[]);
    found.clamped = true;
    bench.answer(1, vec![found]);
    assert!(bench.sent().contains(&ServerFrame::CursorClamped {
        room: room(1),
        head: seq(40)
    }));
    bench.event(1, 41);
    assert_eq!(bench.delivered(), ["1:41"]);
}

#[test]
fn a_store_that_is_away_sends_new_sessions_away_and_keeps_live_ones() {
    let mut bench = Bench::catching_up(&[]);
    bench.put(Input::Answered {
        number: 1,
        answer: None,
    });
    assert_eq!(bench.closed(), Some(CloseCode::TryAgainLater));

    let mut bench = Bench::live(5);
    bench.event(1, 7);
    bench.put(Input::Answered {
        number: 2,
        answer: None,
    });
    assert_eq!(bench.closed(), None);
    bench.wait(Duration::from_secs(1));
    assert_eq!(bench.queries(), [2, 3], "asked again");
    bench.answer(3, vec![answer(1, 5, 7, &[6, 7])]);
    assert_eq!(bench.delivered(), ["1:6", "1:7"]);
}

#[test]
fn a_route_that_can_not_be_written_sends_the_session_away() {
    let mut bench = Bench::new();
    bench.hello(&[]);
    bench.put(Input::RouteWritten(Written::Failed));
    assert_eq!(bench.closed(), Some(CloseCode::TryAgainLater));
    assert!(
        bench
            .sent()
            .iter()
            .any(|frame| matches!(frame, ServerFrame::Bye { .. }))
    );
}

/// I9: who has as many sessions as one may have gets no other one.
#[test]
fn i9_a_session_too_many_is_closed() {
    let mut bench = Bench::new();
    bench.hello(&[]);
    bench.put(Input::RouteWritten(Written::Full));
    assert_eq!(bench.closed(), Some(CloseCode::TooManySessions));
    assert!(bench.queries().is_empty(), "nothing is read for it");
}

#[test]
fn hello_must_be_first_in_time_and_once() {
    let mut bench = Bench::new();
    bench.put(Input::Frame(send(1, "hi"), Ok(())));
    assert_eq!(bench.closed(), Some(CloseCode::HelloExpected));
    let mut bench = Bench::new();
    bench.put(Input::Malformed(ErrorCode::Malformed, String::new()));
    assert_eq!(bench.closed(), Some(CloseCode::HelloExpected));
    let mut bench = Bench::new();
    bench.wait(Duration::from_secs(5));
    assert_eq!(bench.closed(), Some(CloseCode::HelloTimeout));
    let mut bench = Bench::live(5);
    bench.hello(&[]);
    let again = |frame: &ServerFrame| {
        matches!(
            frame,
            ServerFrame::Error {
                code: ErrorCode::AlreadyGreeted,
                ..
            }
        )
    };
    assert!(bench.sent().iter().any(again));
    assert_eq!(bench.closed(), None);
}

/// Two pings without a pong, and the next closes it; frames are no answer.
#[test]
fn a_silent_socket_is_closed_and_a_living_one_is_not() {
    let mut bench = Bench::live(5);
    for _ in 0..10 {
        bench.wait(Duration::from_secs(25));
        bench.pong();
    }
    assert_eq!(bench.closed(), None);
    bench.wait(Duration::from_secs(25));
    bench.put(Input::Frame(send(1, "hi"), Ok(())));
    bench.wait(Duration::from_secs(25));
    assert_eq!(bench.closed(), None);
    bench.put(Input::Pong(999));
    bench.wait(Duration::from_secs(25));
    assert_eq!(bench.closed(), Some(CloseCode::HeartbeatLost));
}
