//! The oracle must see every fault that it is there for: one test each, beside one without a fault.

use super::*;

const ANN: Recipient = Recipient(0);
const BOB: Recipient = Recipient(1);

fn id(number: u128) -> MessageId {
    MessageId::from_u128(number)
}

fn arrival(recipient: Recipient, seq: i64, number: u128) -> Arrival {
    Arrival {
        recipient,
        seq: Seq::new(seq).unwrap(),
        id: id(number),
    }
}

/// Three messages from Ann, accepted; nothing has arrived.
fn three() -> Ledger {
    let mut ledger = Ledger::new("room", &[ANN, BOB]);
    for number in 1..=3 {
        ledger.issued(ANN, id(number));
        assert!(ledger.accepted(id(number)));
    }
    ledger
}

fn deliver(ledger: &mut Ledger, recipient: Recipient, order: &[i64]) {
    for seq in order {
        ledger.arrived(arrival(recipient, *seq, u128::try_from(*seq).unwrap()));
    }
}

#[test]
fn everything_to_everyone_once_in_order_is_good() {
    let mut ledger = three();
    deliver(&mut ledger, ANN, &[1, 2, 3]);
    deliver(&mut ledger, BOB, &[1, 2, 3]);
    let verdict = ledger.verdict();
    assert!(verdict.is_good(), "{verdict}");
    assert_eq!(
        (verdict.issued, verdict.accepted, verdict.delivered),
        (3, 3, 6)
    );
    assert_eq!(ledger.outstanding(), 0);
}

#[test]
fn detects_lost() {
    let mut ledger = three();
    deliver(&mut ledger, ANN, &[1, 2, 3]);
    deliver(&mut ledger, BOB, &[1, 3]);
    let verdict = ledger.verdict();
    assert_eq!(
        (verdict.lost, verdict.duplicated, verdict.out_of_order),
        (1, 0, 0)
    );
    assert!(
        verdict.to_string().contains(&id(2).to_string()),
        "names the message: {verdict}"
    );
    assert!(!verdict.is_good());
}

#[test]
fn lost_is_only_what_was_accepted() {
    let mut ledger = three();
    deliver(&mut ledger, ANN, &[1, 2, 3]);
    deliver(&mut ledger, BOB, &[1, 2, 3]);
    ledger.issued(BOB, id(4));
    assert_eq!(ledger.unanswered(), 1);
    ledger.rejected(id(4));
    let verdict = ledger.verdict();
    assert!(verdict.is_good(), "{verdict}");
    assert_eq!((verdict.rejected, verdict.unanswered), (1, 0));
}

#[test]
fn stored_promises_as_much_as_accepted() {
    let mut ledger = Ledger::new("room", &[ANN, BOB]);
    ledger.issued(ANN, id(1));
    assert!(ledger.stored(id(1), Seq::new(1).unwrap()));
    assert!(!ledger.accepted(id(1)), "counted once");
    assert_eq!(ledger.verdict().lost, 2);
}

#[test]
fn detects_doubled() {
    let mut ledger = three();
    deliver(&mut ledger, ANN, &[1, 2, 3]);
    deliver(&mut ledger, BOB, &[1, 2, 2, 3]);
    let verdict = ledger.verdict();
    assert_eq!(
        (verdict.lost, verdict.duplicated, verdict.out_of_order),
        (0, 1, 0)
    );
    assert_eq!(verdict.delivered, 7);
}

#[test]
fn detects_out_of_order() {
    let mut ledger = three();
    deliver(&mut ledger, ANN, &[1, 2, 3]);
    deliver(&mut ledger, BOB, &[1, 3, 2]);
    let verdict = ledger.verdict();
    assert_eq!(
        (verdict.lost, verdict.duplicated, verdict.out_of_order),
        (0, 0, 1)
    );
}

#[test]
fn events_take_part_in_the_order() {
    let mut ledger = three();
    assert!(ledger.noted(BOB, Seq::new(1).unwrap()));
    assert!(!ledger.noted(BOB, Seq::new(1).unwrap()));
    assert_eq!(ledger.verdict().out_of_order, 1);
}

/// I2: two recipients that agree on nothing but the id.
#[test]
fn i2_detects_two_numbers_for_one_message() {
    let mut ledger = three();
    ledger.arrived(arrival(ANN, 1, 1));
    ledger.arrived(arrival(BOB, 4, 1));
    assert_eq!(ledger.verdict().conflicting, 1);
}

/// I2: one number on two messages.
#[test]
fn i2_detects_two_messages_with_one_number() {
    let mut ledger = three();
    ledger.arrived(arrival(ANN, 1, 1));
    ledger.arrived(arrival(BOB, 1, 2));
    assert_eq!(ledger.verdict().conflicting, 1);
}

#[test]
fn detects_what_nobody_sent_and_who_should_not_have_it() {
    let mut ledger = three();
    assert_eq!(ledger.arrived(arrival(ANN, 1, 99)), Seen::Foreign);
    assert_eq!(ledger.arrived(arrival(Recipient(7), 1, 1)), Seen::Foreign);
    assert_eq!(ledger.verdict().foreign, 2);
}

#[test]
fn sums_add_up() {
    let mut one = three();
    deliver(&mut one, ANN, &[1, 2, 3]);
    let sum = one.verdict() + three().verdict();
    assert_eq!(
        (sum.issued, sum.accepted, sum.delivered, sum.lost),
        (6, 6, 3, 9)
    );
}

/// What has not reached who is gone is not lost; it is told, so that somebody may look whether it was pushed.
#[test]
fn who_is_gone_has_missed_and_not_lost() {
    let (ann, bob) = (Recipient(1), Recipient(2));
    let mut ledger = Ledger::new("room", &[ann, bob]);
    let id = MessageId::from_u128;
    let seq = |n| Seq::new(n).unwrap();
    let arrive = |ledger: &mut Ledger, recipient, n: u128| {
        let seq = seq(i64::try_from(n).unwrap());
        ledger.arrived(Arrival {
            recipient,
            seq,
            id: id(n),
        })
    };
    for n in 1..=2 {
        ledger.issued(ann, id(n));
        ledger.accepted(id(n));
        arrive(&mut ledger, ann, n);
    }
    arrive(&mut ledger, bob, 1);
    assert_eq!(ledger.outstanding(), 1);
    ledger.left(bob);
    ledger.left(bob);
    assert_eq!(ledger.outstanding(), 0);
    ledger.issued(ann, id(3));
    ledger.accepted(id(3));
    assert_eq!(ledger.outstanding(), 1, "ann is still there");
    arrive(&mut ledger, ann, 3);
    assert_eq!(ledger.missed_by(bob).collect::<Vec<_>>(), [seq(2), seq(3)]);
    // What was on its way may still come.
    arrive(&mut ledger, bob, 2);
    assert_eq!(ledger.missed_by(bob).collect::<Vec<_>>(), [seq(3)]);
    assert_eq!(ledger.missed_by(ann).count(), 0);
    assert_eq!(ledger.outstanding(), 0);
    assert!(ledger.verdict().is_good());
    // Nobody is pushed what is one's own.
    ledger.issued(bob, id(4));
    ledger.accepted(id(4));
    arrive(&mut ledger, ann, 4);
    assert_eq!(ledger.missed_by(bob).collect::<Vec<_>>(), [seq(3)]);
}
