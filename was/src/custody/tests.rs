//! Custody against an oracle that keeps every delivery by itself, and its corners one by one.

mod oracle;

use super::*;

const CAPACITY: Capacity = Capacity {
    records: 1_000,
    deliveries: 10_000,
};

fn user(n: i64) -> UserId {
    UserId::new(n).unwrap()
}

fn session(n: u128) -> Address {
    Address::from_u128(n)
}

fn orphan(u: i64, n: i64) -> Orphan {
    Orphan {
        user: user(u),
        room: RoomId::new(1).unwrap(),
        seq: Seq::new(n).unwrap(),
    }
}

/// A custody whose records are of room 1, with the offset as their seq.
fn custody() -> Custody {
    Custody::new(Round(1), CAPACITY)
}

impl Custody {
    /// A record for one session of each user.
    fn one(&mut self, offset: i64, to: &[(i64, u128)]) {
        for &(u, s) in to {
            self.wrote(offset, user(u), session(s));
        }
        let users = to.iter().map(|to| user(to.0)).collect();
        let Orphan { room, seq, .. } = orphan(1, offset);
        self.record(offset, room, seq, users);
    }

    fn lone(&mut self, offset: i64, u: i64) {
        self.absent(offset, orphan(u, offset));
        self.passed(offset);
    }

    fn taken(&mut self) -> Vec<Orphan> {
        self.take_orphans(usize::MAX)
            .map(|batch| batch.orphans)
            .unwrap_or_default()
    }
}

/// I8, trap 5: a queued record is not a confirmed one; the pong of a later round is needed.
#[test]
fn i8_trap_5_what_is_queued_is_not_committed() {
    let mut custody = custody();
    assert_eq!(custody.committable(), None);
    custody.passed(6);
    assert_eq!(custody.committable(), Some(7));
    custody.one(7, &[(1, 1)]);
    custody.passed(8);
    assert_eq!(custody.committable(), Some(7));
    custody.confirm(user(1), session(1), Round(1));
    assert_eq!(
        custody.committable(),
        Some(7),
        "more may come in this round"
    );
    assert_eq!(custody.turn(), Round(2));
    custody.one(9, &[(1, 1)]);
    custody.confirm(user(1), session(1), Round(1));
    assert_eq!(custody.committable(), Some(9));
    assert_eq!(custody.take_confirmed(), 1);
    custody.turn();
    custody.confirm(user(1), session(1), Round(2));
    assert_eq!(custody.committable(), Some(10));
}

/// I8: the oldest that is not done holds the offset, whatever is done behind it.
#[test]
fn i8_the_slowest_holds_the_offset() {
    let mut custody = custody();
    custody.one(0, &[(1, 1)]);
    custody.turn();
    custody.one(1, &[(2, 2)]);
    custody.turn();
    custody.confirm(user(2), session(2), Round(2));
    assert_eq!(custody.committable(), Some(0));
    custody.confirm(user(1), session(1), Round(2));
    assert_eq!(custody.committable(), Some(2));
}

/// I8, trap 5: what a half-open socket never confirmed is handed on when it ends, and only then done.
#[test]
fn i8_trap_5_what_ended_sessions_held_is_handed_on() {
    let mut custody = custody();
    custody.one(0, &[(1, 1), (2, 2)]);
    custody.turn();
    custody.one(1, &[(1, 1)]);
    custody.turn();
    custody.confirm(user(1), session(1), Round(1));
    custody.confirm(user(2), session(2), Round(1));
    assert_eq!(custody.committable(), Some(1));
    custody.ended(&[(user(1), session(1)), (user(2), session(2))]);
    let batch = custody.take_orphans(10).unwrap();
    assert_eq!(batch.orphans, [orphan(1, 1)], "what was confirmed is not");
    assert_eq!(
        custody.committable(),
        Some(1),
        "not before it is acknowledged"
    );
    custody.handed(batch.ticket);
    assert_eq!(custody.committable(), Some(2));
    assert_eq!(custody.taken(), []);
}

/// I8: a session that ended in order left nothing behind, the present round included.
#[test]
fn i8_what_was_received_before_the_end_is_done() {
    let mut custody = custody();
    custody.one(0, &[(1, 1), (2, 2)]);
    custody.received(user(1), session(1));
    assert_eq!(custody.committable(), Some(0));
    custody.received(user(2), session(2));
    assert_eq!(custody.committable(), Some(1));
    assert_eq!((custody.taken(), custody.take_confirmed()), (vec![], 2));
}

/// What another session of the user holds as well is its duty; what was before it is not.
#[test]
fn i8_another_session_of_the_user_holds_what_it_was_written() {
    let mut custody = custody();
    custody.one(0, &[(1, 1)]);
    custody.wrote(1, user(1), session(2));
    custody.one(1, &[(1, 1)]);
    custody.ended(&[(user(1), session(1))]);
    assert_eq!(custody.taken(), [orphan(1, 0)]);
    custody.ended(&[(user(1), session(2))]);
    assert_eq!(custody.taken(), [orphan(1, 1)]);
}

/// Sessions of one user that end together leave each delivery once.
#[test]
fn i8_an_orphan_comes_out_once() {
    let mut custody = custody();
    custody.wrote(0, user(1), session(2));
    custody.one(0, &[(1, 1)]);
    custody.ended(&[(user(1), session(1)), (user(1), session(2))]);
    assert_eq!(custody.taken(), [orphan(1, 0)]);
}

/// The restarted owner and the steward: whoever is not here is told in another way.
#[test]
fn i8_who_is_not_here_is_an_orphan() {
    let mut custody = custody();
    for offset in 0..5 {
        custody.lone(offset, 1);
    }
    assert_eq!(custody.committable(), Some(0));
    let first = custody.take_orphans(3).unwrap();
    let second = custody.take_orphans(3).unwrap();
    assert_eq!((first.orphans.len(), second.orphans.len()), (3, 2));
    custody.handed(second.ticket);
    custody.handed(second.ticket);
    assert_eq!(custody.committable(), Some(0));
    custody.handed(first.ticket);
    assert_eq!(custody.committable(), Some(5));
    assert_eq!(custody.kept().deliveries, 0);
}

/// What is kept does not depend on how much was delivered: one holding, and one round until the turn.
#[test]
fn a_session_holds_one_entry_whatever_it_is_sent() {
    let mut custody = custody();
    custody.one(0, &[(1, 1)]);
    let begun = custody.clone();
    for offset in 1..1_000 {
        // As by a slot that remembers the round: not told again.
        let Orphan { room, seq, .. } = orphan(1, offset);
        custody.record(offset, room, seq, vec![user(1)]);
    }
    assert_eq!(custody.holdings, begun.holdings);
    assert_eq!(custody.rounds, begun.rounds);
    for _ in 0..3 {
        custody.turn();
    }
    assert_eq!(custody.present(), Round(2), "an empty round is not left");
    custody.ended(&[(user(1), session(1))]);
    assert_eq!(custody.taken().len(), 1_000);
}

/// I9: full in records or in deliveries; those who hold the older rounds are pressed.
#[test]
fn i9_it_is_bounded_and_names_who_holds_it() {
    let small = Capacity {
        records: 4,
        deliveries: 6,
    };
    let mut custody = Custody::new(Round(1), small);
    custody.one(0, &[(1, 1)]);
    assert!(!custody.is_pressed());
    custody.turn();
    custody.one(1, &[(2, 2)]);
    assert!(custody.is_pressed() && !custody.is_full());
    custody.turn();
    assert_eq!(
        custody.press(),
        [(user(1), session(1)), (user(2), session(2))]
    );
    assert_eq!(custody.oldest_holders(), [(user(1), session(1))]);
    custody.one(2, &[(3, 3)]);
    custody.one(3, &[(3, 3)]);
    assert!(custody.is_full());
    custody.confirm(user(1), session(1), Round(1));
    assert!(!custody.is_full());
    let many: Vec<(i64, u128)> = (1..=3).zip(1..).collect();
    custody.one(4, &many);
    assert!(custody.is_full());
}

/// Another reader's rounds and sessions change nothing.
#[test]
fn what_is_unknown_changes_nothing() {
    let mut custody = custody();
    custody.one(0, &[(1, 1)]);
    custody.turn();
    let before = custody.clone();
    custody.confirm(user(1), session(9), Round(1));
    custody.confirm(user(1), session(1), Round(0));
    custody.ended(&[(user(9), session(1))]);
    custody.handed(Ticket(7));
    assert_eq!(custody, before);
}
