//! What holds for every table that anyone may see.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::{Action, Me, Member, Slot, Table, Want, decide, decide_in_grace, is_former};

const NOW: Duration = Duration::from_secs(100);
const LIVE: Duration = Duration::from_secs(2);

fn name(member: usize) -> String {
    format!("m{member:02}")
}

/// A table whose partitions belong to the members of these numbers, or to nobody.
fn table(members: &[usize], owners: &[Option<usize>]) -> Table<usize> {
    let member = |member: &usize| Member {
        name: name(*member),
        ttl_left: LIVE,
    };
    let slot = |(partition, owner): (usize, &Option<usize>)| Slot {
        partition,
        owner: owner.map(name),
        claim: 1,
        ttl_left: if owner.is_some() {
            LIVE
        } else {
            Duration::ZERO
        },
    };
    Table {
        read_at: NOW,
        members: members.iter().map(member).collect(),
        slots: owners.iter().enumerate().map(slot).collect(),
    }
}

fn actions(table: &Table<usize>, member: usize, want: Want<usize>) -> Vec<Action<usize>> {
    let name = name(member);
    let held: Vec<(usize, i64)> = table
        .slots
        .iter()
        .filter(|slot| slot.owner.as_ref() == Some(&name) && !slot.ttl_left.is_zero())
        .map(|slot| (slot.partition, slot.claim))
        .collect();
    let me = Me {
        name: &name,
        held: &held,
        highest: 1,
        want,
    };
    decide(table, &me, NOW)
}

/// Lets everyone act, in turn, until nobody wants to any more; says what was released by whom.
fn settle(members: &[usize], owners: &mut [Option<usize>]) -> Vec<(usize, usize)> {
    let mut released = Vec::new();
    for _round in 0..100 {
        let seen = table(members, owners);
        let mut changed = false;
        for &member in members {
            for action in actions(&seen, member, Want::Share) {
                changed = true;
                match action {
                    Action::Claim(p) => {
                        assert_eq!(owners[p], None, "two of one mind claim nothing twice");
                        owners[p] = Some(member);
                    }
                    Action::Release(p) => {
                        assert_eq!(owners[p], Some(member), "only what it has");
                        owners[p] = None;
                        released.push((member, p));
                    }
                }
            }
        }
        if !changed {
            return released;
        }
    }
    panic!("no rest after 100 rounds: {owners:?}");
}

fn counts(members: &[usize], owners: &[Option<usize>]) -> BTreeMap<usize, usize> {
    let mut counts: BTreeMap<usize, usize> = members.iter().map(|m| (*m, 0)).collect();
    for owner in owners.iter().flatten() {
        *counts.entry(*owner).or_default() += 1;
    }
    counts
}

/// Members, and partitions that are theirs or free.
fn worlds() -> impl Strategy<Value = (Vec<usize>, Vec<Option<usize>>)> {
    (1_usize..12, 1_usize..64).prop_flat_map(|(members, partitions)| {
        let owner = proptest::option::of(0..members);
        let owners = proptest::collection::vec(owner, partitions);
        (Just((0..members).collect()), owners)
    })
}

proptest! {
    /// From any table: everything is owned in the end, nobody holds more than its share + 1, and
    /// nobody is idle while another has two.
    #[test]
    fn all_is_shared_fairly((members, mut owners) in worlds()) {
        settle(&members, &mut owners);
        prop_assert!(owners.iter().all(Option::is_some));
        let counts = counts(&members, &owners);
        let most = *counts.values().max().unwrap();
        let least = *counts.values().min().unwrap();
        let share = owners.len() / members.len();
        prop_assert!(most <= share + 1, "{:?}", counts);
        prop_assert!(least + 1 >= share, "{:?}", counts);
        prop_assert!(least > 0 || most <= 1, "{:?}", counts);
    }

    /// I7: when one goes, its partitions find owners and no other moves.
    #[test]
    fn i7_when_one_goes_nobody_elses_partition_moves(
        (members, mut owners) in worlds(),
        gone: prop::sample::Index,
    ) {
        prop_assume!(members.len() > 1);
        settle(&members, &mut owners);
        let gone = *gone.get(&members);
        let rest: Vec<usize> = members.iter().copied().filter(|m| *m != gone).collect();
        let before = owners.clone();
        for owner in &mut owners {
            *owner = owner.filter(|owner| *owner != gone);
        }
        let released = settle(&rest, &mut owners);
        prop_assert_eq!(released, vec![]);
        for (before, after) in before.iter().zip(&owners) {
            prop_assert!(*before == Some(gone) || before == after);
        }
    }

    /// I7: when one comes and all had their even part, partitions move to it and to nobody else.
    #[test]
    fn i7_when_one_comes_partitions_move_only_to_it(members in 1_usize..12, partitions in 1_usize..64) {
        let new = members;
        let members: Vec<usize> = (0..members).collect();
        let mut owners = vec![None; partitions];
        settle(&members, &mut owners);
        let more: Vec<usize> = (0..=new).collect();
        let before = owners.clone();
        settle(&more, &mut owners);
        for (before, after) in before.iter().zip(&owners) {
            prop_assert!(*after == Some(new) || before == after, "{:?} {:?}", before, after);
        }
    }

    /// I7: when one comes and the parts were uneven, as far as the slack lets them be, partitions
    /// move only away from who has more than its new share, and only to who has no more than that:
    /// not always to the newcomer, because one of the others may have as few as it has.
    #[test]
    fn i7_when_one_comes_only_the_overloaded_lose((members, mut owners) in worlds()) {
        settle(&members, &mut owners);
        let new = members.len();
        let more: Vec<usize> = (0..=new).collect();
        let before = owners.clone();
        let had = counts(&more, &owners);
        settle(&more, &mut owners);
        let share = owners.len() / more.len();
        for (before, after) in before.iter().zip(&owners) {
            if before != after {
                prop_assert!(had[&before.unwrap()] > share, "{:?}", had);
                prop_assert!(had[&after.unwrap()] <= share, "{:?}", had);
            }
        }
    }

    /// The same table gives the same answer, in whatever order it is listed.
    #[test]
    fn the_order_of_the_table_says_nothing((members, owners) in worlds(), turn: prop::sample::Index) {
        let listed = table(&members, &owners);
        let mut turned = listed.clone();
        turned.slots.rotate_left(turn.index(owners.len()));
        turned.members.reverse();
        for &member in &members {
            prop_assert_eq!(
                actions(&listed, member, Want::Share),
                actions(&turned, member, Want::Share)
            );
        }
    }

    /// Trap 9: while the grace runs every claim is a former holder's, by the table or by its own memory;
    /// a former holder is held up by nothing but another live owner.
    #[test]
    fn trap_9_in_grace_only_former_holders_claim(
        (members, mut owners) in worlds(),
        ended in prop::collection::vec(any::<bool>(), 70),
        had in proptest::option::of(0_usize..70),
        ordinal in proptest::option::of(0_usize..70),
        forgotten: bool,
    ) {
        if forgotten {
            owners.fill(None);
        }
        let mut seen = table(&members, &owners);
        for (slot, ended) in seen.slots.iter_mut().zip(ended) {
            if ended {
                slot.ttl_left = Duration::ZERO;
            }
        }
        for &member in &members {
            let name = name(member);
            let me = Me {
                name: &name,
                held: &[],
                highest: i64::from(had.is_some()),
                want: Want::One { preferred: had.or(ordinal) },
            };
            let graced = decide_in_grace(&seen, &me, had, NOW);
            let row = |p: usize| seen.slots.iter().find(|slot| slot.partition == p);
            for action in &graced {
                let Action::Claim(p) = *action else { panic!("{action:?}") };
                let by_table = row(p).unwrap().owner.as_deref() == Some(&*name);
                prop_assert!(by_table || had == Some(p));
            }
            // Forgotten by the table, remembered by itself: it returns at once.
            let returns = had.and_then(row).filter(|slot| slot.ttl_left.is_zero());
            if let (true, Some(slot)) = (forgotten, returns) {
                prop_assert_eq!(&graced, &[Action::Claim(slot.partition)]);
            }
            // And it never does what it would not do otherwise.
            let free = decide(&seen, &me, NOW);
            prop_assert!(graced.is_empty() || graced == free);
            if let Some(Action::Claim(p)) = free.first() {
                prop_assert_eq!(is_former(&seen, &me, had, *p), !graced.is_empty());
            }
        }
    }

    /// One home: whoever has none takes a free one if there is one, whoever has one does nothing.
    #[test]
    fn one_wants_exactly_one(
        (members, owners) in worlds(),
        preferred in proptest::option::of(0_usize..70),
    ) {
        let seen = table(&members, &owners);
        let free: BTreeSet<usize> =
            (0..owners.len()).filter(|p| owners[*p].is_none()).collect();
        for &member in &members {
            let expected = if owners.contains(&Some(member)) {
                None
            } else {
                preferred.filter(|p| free.contains(p)).or_else(|| free.first().copied())
            };
            prop_assert_eq!(
                actions(&seen, member, Want::One { preferred }),
                expected.map(Action::Claim).into_iter().collect::<Vec<_>>()
            );
        }
    }
}

/// I7: an expired lease of one's own comes before the preferred one and before the lowest free.
#[test]
fn i7_one_that_returns_takes_what_it_had() {
    let mut seen = table(&[0], &[None, None, Some(0), None]);
    seen.slots[2].ttl_left = Duration::ZERO;
    let want = Want::One { preferred: Some(1) };
    assert_eq!(actions(&seen, 0, want), [Action::Claim(2)]);
}

/// I7: a home that somebody had is left to that one while there are others.
#[test]
fn i7_a_newcomer_leaves_what_others_may_come_back_to() {
    let mut seen = table(&[0, 1], &[Some(1), None]);
    seen.slots[0].ttl_left = Duration::ZERO;
    let want = Want::One { preferred: None };
    assert_eq!(actions(&seen, 0, want), [Action::Claim(1)]);
    seen.slots.truncate(1);
    assert_eq!(actions(&seen, 0, want), [Action::Claim(0)]);
}

/// A restarted process does not wait for the lease of its predecessor; one that was replaced does not
/// take back what its successor has.
#[test]
fn a_successor_takes_over_and_is_left_alone() {
    let seen = table(&[0], &[Some(0), Some(1)]);
    for want in [Want::Share, Want::One { preferred: None }] {
        let mut me = Me {
            name: "m00",
            held: &[],
            highest: 0,
            want,
        };
        assert_eq!(decide(&seen, &me, NOW), [Action::Claim(0)]);
        me.highest = 2;
        assert_eq!(decide(&seen, &me, NOW), [Action::Claim(0)]);
        me.highest = 1; // below what the table says, were it 2
        let mut later = seen.clone();
        later.slots[0].claim = 2;
        assert_eq!(decide(&later, &me, NOW), []);
    }
}

/// What is left of a lease counts from when the table was asked for.
#[test]
fn an_old_table_shows_ended_leases_as_ended() {
    let seen = table(&[1], &[Some(1)]);
    let me = Me {
        name: "m00",
        held: &[],
        highest: 0,
        want: Want::One { preferred: None },
    };
    assert_eq!(
        decide(&seen, &me, NOW + LIVE - Duration::from_millis(1)),
        []
    );
    assert_eq!(decide(&seen, &me, NOW + LIVE), [Action::Claim(0)]);
}
