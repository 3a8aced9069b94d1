//! The pure decision core: (table, me, now) → actions.
//!
//! Lanes and homes are both partitions that at most one member owns at a time, under a lease with a
//! number that grows with every claim. Who should own what is decided here, by every member for
//! itself and from the same table, without talking to the others; the store that holds the table
//! makes each claim atomic, so two that decide on different tables collide harmlessly.
//!
//! I7: nobody else's partition moves when one comes or goes.

mod grace;
mod one;
mod share;
mod standing;
mod steward;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod simulation;

use std::fmt;
use std::time::Duration;

pub use grace::{decide_in_grace, is_former};
pub use standing::{Standing, standing};
pub use steward::View;

/// All that the store says about one kind of partition.
#[derive(Debug, Clone)]
pub struct Table<P> {
    /// When the read was *issued*, by the same clock as `now`: what is left of a lease counts from
    /// there, so that a slow answer only ever makes a lease look shorter.
    pub read_at: Duration,
    /// Who has been heard, in any order. Only [`Want::Share`] looks at them.
    pub members: Vec<Member>,
    /// Every partition there is, in any order.
    pub slots: Vec<Slot<P>>,
}

/// One that takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name; a process that is restarted comes back with the same one.
    pub name: String,
    /// For how long it still counts as alive; zero or less is gone.
    pub ttl_left: Duration,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot<P> {
    /// Which one.
    pub partition: P,
    /// Who owns it, or who owned it last; none if nobody ever did.
    pub owner: Option<String>,
    /// The number of the last claim: epoch or incarnation; 0 if there was none.
    pub claim: i64,
    /// What is left of the lease; zero once it has ended or was released.
    pub ttl_left: Duration,
}

/// What a member is out for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want<P> {
    /// A fair share of all.
    Share,
    /// Exactly one, for life.
    One {
        /// The one to take if the table knows of none that was held before.
        preferred: Option<P>,
    },
}

/// The member that decides.
#[derive(Debug, Clone, Copy)]
pub struct Me<'a, P> {
    /// Its name.
    pub name: &'a str,
    /// What this very process holds as far as it knows, each with its claim's number.
    pub held: &'a [(P, i64)],
    /// The highest number that this process was ever given; 0 before its first claim.
    ///
    /// It tells a predecessor of the same name (lower: its partitions are taken over at once) from
    /// a successor (higher: this process was replaced, and leaves them alone).
    pub highest: i64,
    /// What it is out for.
    pub want: Want<P>,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action<P> {
    /// Give it up, once the work in it is done.
    Release(P),
    /// Try to take it.
    Claim(P),
}

/// What `me` should do, as of `now`. Nothing to do is an empty list; deciding again before the
/// actions are carried out gives the same ones.
pub fn decide<P: Copy + Ord + fmt::Debug>(
    table: &Table<P>,
    me: &Me<'_, P>,
    now: Duration,
) -> Vec<Action<P>> {
    match me.want {
        Want::Share => share::decide(table, me, now),
        Want::One { preferred } => one::decide(table, me, preferred, now),
    }
}

impl<P: Copy + Ord> Table<P> {
    fn is_live(&self, ttl_left: Duration, now: Duration) -> bool {
        ttl_left > now.saturating_sub(self.read_at)
    }

    /// Who owns `slot` now.
    fn owner<'a>(&self, slot: &'a Slot<P>, now: Duration) -> Option<&'a str> {
        if self.is_live(slot.ttl_left, now) {
            slot.owner.as_deref()
        } else {
            None
        }
    }
}

impl<P: Copy + Ord> Me<'_, P> {
    fn holds(&self, slot: &Slot<P>) -> bool {
        self.held.contains(&(slot.partition, slot.claim))
    }

    /// The table says that the slot is mine, but this process does not hold it: a process of the
    /// same name did, before this one.
    fn inherits(&self, slot: &Slot<P>) -> bool {
        !self.holds(slot) && (self.highest == 0 || slot.claim < self.highest)
    }
}
