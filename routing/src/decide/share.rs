//! A fair share of all partitions, moving as few as possible.
//!
//! Every member plays the same plan through and keeps its own part of it:
//! 1. Free partitions are dealt one by one, each to the member that has the fewest.
//! 2. While someone has more than its share + 1, or someone has far too few beside one that has
//!    more than its share, one partition moves from the one that has the most to the one that has
//!    the fewest.
//!
//! The slack of one keeps a member that flickers from moving partitions back and forth.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::{Action, Me, Table};

pub(super) fn decide<P: Copy + Ord + fmt::Debug>(
    table: &Table<P>,
    me: &Me<'_, P>,
    now: Duration,
) -> Vec<Action<P>> {
    let mut counts = live_members(table, me, now);
    let mut free = Vec::new();
    let mut actions = Vec::new();
    let mut mine = Vec::new();
    for slot in &table.slots {
        match table.owner(slot, now) {
            None => free.push(slot),
            Some(owner) => {
                if let Some(count) = counts.get_mut(owner) {
                    *count += 1;
                }
                if owner == me.name && me.holds(slot) {
                    mine.push(slot.partition);
                } else if owner == me.name && me.inherits(slot) {
                    actions.push(Action::Claim(slot.partition));
                }
            }
        }
    }

    free.sort_unstable_by_key(|slot| slot.partition);
    for slot in free {
        let Some(taker) = fewest(&counts, slot.owner.as_deref()) else {
            break;
        };
        if taker == me.name {
            actions.push(Action::Claim(slot.partition));
        }
        counts.entry(taker).and_modify(|count| *count += 1);
    }

    let share = table.slots.len() / counts.len().max(1);
    let mut surplus = 0;
    while let Some((giver, taker)) = next_move(&counts, share) {
        if giver == me.name {
            surplus += 1;
        }
        counts.entry(giver).and_modify(|count| *count -= 1);
        counts.entry(taker).and_modify(|count| *count += 1);
    }
    // The last ones first: which go is as good as any, but must not change from one look at the
    // table to the next.
    mine.sort_unstable_by(|a, b| b.cmp(a));
    actions.extend(mine.into_iter().take(surplus).map(Action::Release));
    actions.sort_unstable();
    actions
}

/// Everyone who is alive, with nothing counted yet. Who decides is alive.
fn live_members<'a, P: Copy + Ord>(
    table: &'a Table<P>,
    me: &Me<'a, P>,
    now: Duration,
) -> BTreeMap<&'a str, usize> {
    table
        .members
        .iter()
        .filter(|member| table.is_live(member.ttl_left, now))
        .map(|member| member.name.as_str())
        .chain([me.name])
        .map(|name| (name, 0))
        .collect()
}

/// The member with the fewest; among equals the one that had the partition last, else by name.
fn fewest<'a>(counts: &BTreeMap<&'a str, usize>, had_it: Option<&str>) -> Option<&'a str> {
    counts
        .iter()
        .min_by_key(|(name, count)| (**count, had_it != Some(**name), **name))
        .map(|(name, _)| *name)
}

/// Who should hand one over to whom, if anyone should.
fn next_move<'a>(counts: &BTreeMap<&'a str, usize>, share: usize) -> Option<(&'a str, &'a str)> {
    let (giver, most) = counts
        .iter()
        .max_by_key(|(name, count)| (**count, **name))?;
    let (taker, least) = counts
        .iter()
        .min_by_key(|(name, count)| (**count, **name))?;
    let overloaded = *most > share + 1;
    // Without this, one that joins could stay idle for ever beside members that hold share + 1.
    let starved = *most > share && *least + 1 < share || *least == 0 && *most > 1;
    (overloaded || starved).then_some((*giver, *taker))
}
