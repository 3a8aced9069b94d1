//! Which pong confirms what (I8, trap 5).

use super::*;
use crate::custody::Round;

impl Bench {
    /// An event of room 1, in the reader's custody.
    fn kept(&mut self, n: i64, round: u64) {
        self.record(n, Some(frame(1, n)), round);
    }

    /// One whose record came without the frame.
    fn named(&mut self, n: i64, round: u64) {
        self.record(n, None, round);
    }

    fn record(&mut self, n: i64, frame: Option<Bytes>, round: u64) {
        self.put(Input::Live {
            room: room(1),
            seq: seq(n),
            frame,
            round: Some(Round(round)),
        });
    }

    /// Time passes; all that was queued before `present` was taken.
    fn pass(&mut self, time: Duration, present: u64) {
        self.put(Input::Turned(Round(present)));
        self.wait(time);
    }

    fn pings(&self) -> Vec<u64> {
        self.out
            .iter()
            .filter_map(|output| match output {
                Output::Ping(count) => Some(*count),
                _ => None,
            })
            .collect()
    }

    fn confirmed(&self) -> Vec<(u64, u64)> {
        self.out
            .iter()
            .filter_map(|output| match output {
                Output::Confirmed { upto, seen } => Some((upto.0, *seen)),
                _ => None,
            })
            .collect()
    }

    /// Until after the settle, so that only pings are left to happen.
    fn settled() -> Self {
        let mut bench = Self::live(5);
        bench.wait(Duration::from_millis(2_500));
        bench.answer(2, vec![answer(1, 5, 5, &[])]);
        bench.out.clear();
        bench
    }
}

const TEN: Duration = Duration::from_secs(10);

/// I8, trap 5: what was written is not confirmed, nor is what came after the ping; only its pong is
/// counted, and only once.
#[test]
fn i8_trap_5_a_pong_confirms_what_was_written_before_its_ping() {
    let mut bench = Bench::settled();
    bench.kept(6, 3);
    bench.pass(TEN, 5);
    assert_eq!(bench.pings(), [1], "sooner than at rest");
    bench.kept(7, 5);
    bench.put(Input::Pong(7));
    assert_eq!(bench.confirmed(), [], "of no ping of ours");
    bench.put(Input::Pong(1));
    bench.put(Input::Pong(1));
    assert_eq!(bench.confirmed(), [(4, 0)]);
    bench.pass(TEN, 6);
    bench.put(Input::Pong(2));
    assert_eq!(bench.confirmed(), [(4, 0), (5, 0)]);
}

/// I8: in the round that is under way more may be queued after the ping.
#[test]
fn i8_the_present_round_is_not_confirmed() {
    let mut bench = Bench::settled();
    bench.kept(6, 3);
    bench.pass(TEN, 3);
    bench.put(Input::Pong(1));
    assert_eq!(bench.confirmed(), [(2, 0)], "all before it");
    bench.pass(TEN, 4);
    bench.put(Input::Pong(2));
    assert_eq!(bench.confirmed(), [(2, 0), (3, 0)]);
}

/// A lost pong is made up for by the next; an older one that comes late confirms its own.
#[test]
fn i8_each_pong_confirms_its_own_ping() {
    let mut bench = Bench::settled();
    bench.kept(6, 3);
    bench.pass(TEN, 4);
    bench.kept(7, 5);
    bench.pass(TEN, 6);
    bench.put(Input::Pong(1));
    assert_eq!(bench.confirmed(), [(3, 0)]);
    bench.put(Input::Pong(2));
    assert_eq!(bench.confirmed(), [(3, 0), (5, 0)]);
    assert_eq!(bench.closed(), None);
}

/// Each 10 s while something is unconfirmed, else at the pace of the settings; nothing is told when
/// there is no news.
#[test]
fn pings_come_sooner_while_something_is_unconfirmed() {
    let mut bench = Bench::settled();
    bench.pass(Duration::from_secs(22), 9);
    assert_eq!(bench.pings(), [] as [u64; 0]);
    bench.pass(Duration::from_millis(500), 9);
    assert_eq!(bench.pings(), [1]);
    bench.pong();
    bench.kept(6, 9);
    for second in 1..=60_u64 {
        bench.pass(Duration::from_secs(1), 9 + second);
        bench.pong();
    }
    assert_eq!(bench.pings(), [1, 2, 3, 4], "10 s, 20 s, 45 s after it");
    assert_eq!(bench.confirmed(), [(18, 0)]);
}

/// I9: while too much is in custody, nobody waits half a minute for a client that has gone; one that
/// answers is asked for as long as it takes, also while something is held.
#[test]
fn i9_who_is_pressed_answers_soon() {
    let mut bench = Bench::settled();
    bench.kept(6, 3);
    bench.kept(8, 4);
    let half = Duration::from_millis(500);
    for present in 5..25 {
        bench.put(Input::Press(Round(present)));
        bench.wait(half);
        bench.pong();
    }
    assert_eq!(bench.closed(), None);
    bench.put(Input::Press(Round(25)));
    for present in 26..32 {
        assert_eq!(bench.closed(), None);
        bench.wait(half);
        bench.put(Input::Press(Round(present)));
    }
    assert_eq!(bench.closed(), Some(CloseCode::HeartbeatLost));
}

/// I8: what is held until a hole was read is not confirmed, though it was taken long ago.
#[test]
fn i8_what_is_held_is_not_confirmed() {
    let mut bench = Bench::settled();
    bench.kept(6, 3);
    bench.kept(8, 4);
    assert_eq!(bench.delivered(), ["1:6"]);
    bench.pass(TEN, 9);
    bench.pong();
    assert_eq!(bench.confirmed(), [(3, 0)]);
    bench.answer(3, vec![answer(1, 6, 8, &[7, 8])]);
    bench.pass(TEN, 9);
    bench.pong();
    // The held frame was dropped as seen: it belongs to its round like any other.
    assert_eq!(bench.confirmed(), [(3, 0), (8, 1)]);
}

/// I8: what overflowed is confirmed when the query that brings it was answered, and not before.
#[test]
fn i8_what_overflowed_is_not_confirmed() {
    let mut bench = Bench::settled();
    for n in 7..7 + 9 {
        bench.kept(n, u64::try_from(n).unwrap());
    }
    assert!(bench.out.iter().any(|o| matches!(o, Output::HeldOverflow)));
    let events: Vec<i64> = (6..=15).collect();
    // The query that was under way does not bring it.
    bench.answer(3, vec![answer(1, 5, 8, &events[..3])]);
    bench.pass(TEN, 20);
    bench.pong();
    assert_eq!(
        bench.confirmed(),
        [(6, 0)],
        "before the first that was held"
    );
    bench.answer(4, vec![answer(1, 8, 15, &events[3..])]);
    assert_eq!(bench.delivered().len(), events.len());
    bench.pass(TEN, 20);
    bench.pong();
    assert_eq!(bench.confirmed(), [(6, 0), (19, 0)]);
}

/// I8: so is what came before the first answer.
#[test]
fn i8_what_waits_for_the_catch_up_is_not_confirmed() {
    let mut bench = Bench::catching_up(&[(1, 5)]);
    bench.kept(6, 3);
    bench.pass(Duration::from_secs(25), 9);
    bench.pong();
    assert_eq!(bench.confirmed(), [(2, 0)]);
    bench.answer(1, vec![answer(1, 5, 6, &[6])]);
    bench.pass(TEN, 9);
    bench.pong();
    assert_eq!(bench.confirmed(), [(2, 0), (8, 1)]);
}

/// I5, I8: a record without its frame is dropped by who has seen it, and read by who has not.
#[test]
fn i5_i8_a_record_without_a_frame_is_seen_or_a_gap() {
    let mut bench = Bench::settled();
    bench.named(4, 1);
    assert_eq!(bench.queries(), [] as [u32; 0]);
    bench.named(6, 2);
    bench.kept(7, 3);
    assert_eq!(bench.queries(), [3]);
    bench.pass(TEN, 9);
    bench.pong();
    assert_eq!(bench.confirmed(), [(1, 1)]);
    bench.answer(3, vec![answer(1, 5, 6, &[6])]);
    assert_eq!(bench.delivered(), ["1:6", "1:7"]);
    bench.pass(TEN, 9);
    bench.pong();
    assert_eq!(bench.confirmed(), [(1, 1), (8, 1)]);
}

/// I5: one that came while a query was under way is not in its answer for certain; one that the user
/// may not see is in none.
#[test]
fn i5_a_record_without_a_frame_does_not_hide_a_hole() {
    let mut bench = Bench::settled();
    bench.named(6, 1);
    bench.named(9, 1);
    bench.answer(3, vec![answer(1, 5, 6, &[6])]);
    assert_eq!(bench.queries(), [3, 4]);
    bench.answer(4, vec![answer(1, 6, 8, &[7, 8])]);
    assert_eq!(bench.delivered(), ["1:6", "1:7", "1:8"]);
    assert_eq!(bench.queries(), [3, 4], "not there after the read");
    bench.kept(9, 1);
    assert_eq!(bench.delivered().last().unwrap(), "1:9");
}

/// I9: who is pressed pings at once, and is not counted as silent for being pressed often.
#[test]
fn i9_who_is_pressed_pings_now() {
    let mut bench = Bench::settled();
    bench.put(Input::Press(Round(3)));
    assert_eq!(bench.pings(), [] as [u64; 0], "nothing is unconfirmed");
    bench.kept(6, 3);
    for present in 4..10 {
        bench.put(Input::Press(Round(present)));
    }
    assert_eq!(bench.pings(), [1]);
    bench.pong();
    assert_eq!(bench.confirmed(), [(3, 0)]);
}

/// The rounds of a later reader are above those of the one before, which nobody counts any more.
#[test]
fn a_later_readers_rounds_are_news() {
    let mut bench = Bench::settled();
    bench.kept(6, 3);
    bench.kept(7, 1 << 32);
    bench.pass(TEN, (1 << 32) + 1);
    bench.pong();
    assert_eq!(bench.confirmed(), [(1 << 32, 0)]);
}

/// I8: a session that is closed has sent all, unless something is held, or comes later.
#[test]
fn i8_what_is_held_at_the_close_was_not_sent() {
    for (held, late, sent_all) in [
        (false, false, true),
        (true, false, false),
        (false, true, false),
    ] {
        let mut bench = Bench::settled();
        bench.kept(6, 3);
        if held {
            bench.kept(8, 3);
        }
        assert!(!bench.session.has_sent_all());
        bench.put(Input::Drain(100));
        if late {
            bench.kept(7, 3);
        }
        assert_eq!(bench.session.has_sent_all(), sent_all, "{held} {late}");
    }
}
