//! While a store that was away has just come back, everybody looks dead in it (trap 9): those who hold
//! something and could not say so are given the time to return before anybody else takes it.

use std::fmt;
use std::time::Duration;

use super::{Action, Me, Table, decide};

/// Whether `me` is a former holder of `partition`: the table says so, or it remembers it itself (`had`).
pub fn is_former<P: Copy + Ord>(
    table: &Table<P>,
    me: &Me<'_, P>,
    had: Option<P>,
    partition: P,
) -> bool {
    had == Some(partition)
        || table
            .slots
            .iter()
            .any(|slot| slot.partition == partition && slot.owner.as_deref() == Some(me.name))
}

/// As [`decide`], while the grace runs: nothing is claimed but by a former holder.
pub fn decide_in_grace<P: Copy + Ord + fmt::Debug>(
    table: &Table<P>,
    me: &Me<'_, P>,
    had: Option<P>,
    now: Duration,
) -> Vec<Action<P>> {
    let mut actions = decide(table, me, now);
    actions.retain(|action| match *action {
        Action::Claim(partition) => is_former(table, me, had, partition),
        Action::Release(_) => true,
    });
    actions
}
