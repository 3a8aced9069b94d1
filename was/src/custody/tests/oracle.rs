//! Every delivery by itself: what custody counts by rounds must come to the same.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Op {
    /// A session of this user enters the registry.
    Enter(i64),
    /// So many of the sessions end, from here on.
    End(usize, usize),
    /// A session ends whose client has received all.
    Part(usize),
    /// A record for these users, in custody.
    Record(BTreeSet<i64>),
    /// A record without seq.
    Pass,
    Turn,
    /// A session confirms a round, so many before the present one.
    Confirm(usize, u64),
    /// Orphans are taken.
    Take(usize),
    /// A batch under way is acknowledged.
    Handed(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (1i64..5).prop_map(Op::Enter),
        1 => (0usize..8, 1usize..4).prop_map(|(at, count)| Op::End(at, count)),
        1 => (0usize..8).prop_map(Op::Part),
        8 => prop::collection::btree_set(1i64..6, 1..5).prop_map(Op::Record),
        1 => Just(Op::Pass),
        4 => Just(Op::Turn),
        6 => (0usize..8, 0u64..4).prop_map(|(at, ago)| Op::Confirm(at, ago)),
        3 => (1usize..6).prop_map(Op::Take),
        3 => (0usize..4).prop_map(Op::Handed),
    ]
}

#[derive(Debug, PartialEq)]
enum State {
    /// By which sessions it was not confirmed yet.
    Held(BTreeSet<u128>),
    /// A session has confirmed it; others that it was written to have not, and hold it still.
    Confirmed(BTreeSet<u128>),
    Orphaned,
    Handed,
}

#[derive(Debug)]
struct Delivery {
    offset: i64,
    user: i64,
    round: Round,
    state: State,
}

#[derive(Default)]
struct World {
    /// In the registry: user, session, and the round that its slot remembers.
    slots: Vec<(i64, u128, Option<Round>)>,
    deliveries: Vec<Delivery>,
    next: i64,
    batches: Vec<(Ticket, Vec<Orphan>)>,
    /// Deliveries found orphaned, in the order in which custody is to give them out.
    expected: Vec<Orphan>,
    taken: Vec<Orphan>,
    entered: u128,
    confirmed: u64,
}

impl World {
    fn record(&mut self, custody: &mut Custody, to: &BTreeSet<i64>) {
        let (offset, present) = (self.next, custody.present());
        let mut here = Vec::new();
        for &to in to {
            let mut holders = BTreeSet::new();
            for (_, session, remembered) in self.slots.iter_mut().filter(|slot| slot.0 == to) {
                if *remembered != Some(present) {
                    custody.wrote(offset, user(to), super::session(*session));
                    *remembered = Some(present);
                }
                holders.insert(*session);
            }
            let state = if holders.is_empty() {
                custody.absent(offset, orphan(to, offset));
                self.expected.push(orphan(to, offset));
                State::Orphaned
            } else {
                here.push(user(to));
                State::Held(holders)
            };
            self.deliveries.push(Delivery {
                offset,
                user: to,
                round: present,
                state,
            });
        }
        let Orphan { room, seq, .. } = orphan(1, offset);
        custody.record(offset, room, seq, here);
        self.next += 1;
    }

    fn confirm(&mut self, custody: &mut Custody, at: usize, ago: u64) {
        let Some(&(of, session, _)) = self.slots.get(at) else {
            return;
        };
        let Some(upto) = custody.present().0.checked_sub(ago).map(Round) else {
            return;
        };
        custody.confirm(user(of), super::session(session), upto);
        // The present round can't be confirmed.
        self.received(session, upto.min(Round(custody.present().0 - 1)));
    }

    fn received(&mut self, session: u128, upto: Round) {
        for delivery in self.deliveries.iter_mut().filter(|d| d.round <= upto) {
            match &mut delivery.state {
                State::Held(by) if by.contains(&session) => {
                    by.remove(&session);
                    delivery.state = State::Confirmed(std::mem::take(by));
                }
                State::Confirmed(by) => {
                    by.remove(&session);
                }
                _ => {}
            }
        }
    }

    fn end(&mut self, custody: &mut Custody, at: usize, count: usize) {
        let at = at.min(self.slots.len());
        let until = (at + count).min(self.slots.len());
        let ended: Vec<_> = self.slots.drain(at..until).collect();
        let holders: Vec<Holder> = ended
            .iter()
            .map(|&(of, session, _)| (user(of), super::session(session)))
            .collect();
        custody.ended(&holders);
        for delivery in &mut self.deliveries {
            // One that a session confirmed while another of the user did not is told of once more
            // when that one ends last: twice is allowed, never is not.
            if let State::Held(by) | State::Confirmed(by) = &mut delivery.state {
                let before = by.len();
                by.retain(|session| !ended.iter().any(|slot| slot.1 == *session));
                if by.is_empty() && before > 0 {
                    self.expected.push(orphan(delivery.user, delivery.offset));
                    delivery.state = State::Orphaned;
                }
            }
        }
    }

    fn apply(&mut self, custody: &mut Custody, op: &Op) {
        match op {
            Op::Enter(user) => {
                self.entered += 1;
                self.slots.push((*user, self.entered, None));
            }
            &Op::End(at, count) => self.end(custody, at, count),
            &Op::Part(at) => {
                if at < self.slots.len() {
                    let (of, session, _) = self.slots.remove(at);
                    custody.received(user(of), super::session(session));
                    self.received(session, custody.present());
                }
            }
            Op::Record(to) => self.record(custody, to),
            Op::Pass => {
                custody.passed(self.next);
                self.next += 1;
            }
            Op::Turn => {
                custody.turn();
            }
            &Op::Confirm(at, ago) => self.confirm(custody, at, ago),
            &Op::Take(most) => {
                if let Some(batch) = custody.take_orphans(most) {
                    self.taken.extend(&batch.orphans);
                    self.batches.push((batch.ticket, batch.orphans));
                }
            }
            &Op::Handed(at) => {
                if at < self.batches.len() {
                    let (ticket, orphans) = self.batches.remove(at);
                    custody.handed(ticket);
                    for orphan in orphans {
                        let delivery = self.deliveries.iter_mut().find(|delivery| {
                            delivery.user == orphan.user.get()
                                && delivery.offset == orphan.seq.get()
                        });
                        delivery.unwrap().state = State::Handed;
                    }
                }
            }
        }
    }

    /// The first delivery that nobody has confirmed and that was not handed on.
    fn first_open(&self) -> Option<i64> {
        let open = |d: &&Delivery| matches!(d.state, State::Held(_) | State::Orphaned);
        self.deliveries.iter().find(open).map(|d| d.offset)
    }

    fn is_quiet(&self) -> bool {
        self.deliveries
            .iter()
            .all(|delivery| match &delivery.state {
                State::Held(_) | State::Orphaned => false,
                State::Confirmed(by) => by.is_empty(),
                State::Handed => true,
            })
    }

    fn check(&mut self, custody: &mut Custody, last: &mut Option<i64>) {
        let committable = custody.committable();
        if let (Some(at), Some(open)) = (committable, self.first_open()) {
            assert!(at <= open, "{at} is past {open}, which is not done");
        }
        assert!(committable >= *last, "{committable:?} after {last:?}");
        *last = committable;
        if self.is_quiet() && self.next > 0 {
            assert_eq!(committable, Some(self.next), "all is done");
        }
        let waiting = self.expected.len() - self.taken.len();
        let under_way: usize = self.batches.iter().map(|batch| batch.1.len()).sum();
        assert_eq!(custody.orphans(), waiting + under_way);
        self.confirmed += custody.take_confirmed();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// I8, I10: never committable past a delivery that is neither confirmed nor handed on; each
    /// orphan comes out, and once; in the end all is done, and every delivery is counted once.
    #[test]
    fn i8_i10_as_if_every_delivery_were_kept_by_itself(
        ops in prop::collection::vec(op(), 0..120),
    ) {
        let mut custody = custody();
        let (mut world, mut last) = (World::default(), None);
        for op in &ops {
            world.apply(&mut custody, op);
            world.check(&mut custody, &mut last);
        }
        // Those who are here confirm all, the rest is handed on.
        world.apply(&mut custody, &Op::Turn);
        for at in 0..world.slots.len() {
            world.apply(&mut custody, &Op::Confirm(at, 1));
        }
        world.apply(&mut custody, &Op::Take(usize::MAX));
        while !world.batches.is_empty() {
            world.apply(&mut custody, &Op::Handed(0));
            world.check(&mut custody, &mut last);
        }
        world.check(&mut custody, &mut last);
        prop_assert!(world.is_quiet());
        prop_assert_eq!(custody.kept(), Capacity { records: 0, deliveries: 0 });

        let mut expected = world.expected.clone();
        let mut taken = world.taken.clone();
        expected.sort_unstable();
        taken.sort_unstable();
        prop_assert_eq!(&taken, &expected);
        taken.dedup();
        prop_assert_eq!(taken.len(), expected.len(), "an orphan came out twice");
        let orphaned = expected.len() as u64;
        prop_assert_eq!(world.confirmed + orphaned, world.deliveries.len() as u64);

        // In order for each user: pushes of one user are told in the order of the room.
        let mut last: BTreeMap<UserId, Seq> = BTreeMap::new();
        for orphan in &world.taken {
            let before = last.insert(orphan.user, orphan.seq);
            prop_assert!(before.is_none_or(|before| before < orphan.seq), "{before:?}, {orphan:?}");
        }
    }
}
