//! One partition for life: the one had before, else the preferred one, else the lowest free.

use std::fmt;
use std::time::Duration;

use super::{Action, Me, Slot, Table};

pub(super) fn decide<P: Copy + Ord + fmt::Debug>(
    table: &Table<P>,
    me: &Me<'_, P>,
    preferred: Option<P>,
    now: Duration,
) -> Vec<Action<P>> {
    let mine = || {
        table
            .slots
            .iter()
            .filter(|slot| slot.owner.as_deref() == Some(me.name))
    };
    let live = |slot: &Slot<P>| table.owner(slot, now).is_some();
    if mine().any(|slot| live(slot) && !me.inherits(slot)) {
        // Held; or a successor of the same name has taken over, and two of one name must not chase
        // each other: this one stays without until the other is gone.
        return Vec::new();
    }
    let had = mine().max_by_key(|slot| slot.claim);
    if let Some(slot) = had {
        return vec![Action::Claim(slot.partition)];
    }
    let free = || table.slots.iter().filter(|slot| !live(slot));
    let preferred = free().find(|slot| Some(slot.partition) == preferred);
    // One that somebody had is that one's to come back to, as long as there are others (I7).
    let lowest = || free().min_by_key(|slot| (slot.owner.is_some(), slot.partition));
    preferred
        .or_else(lowest)
        .map(|slot| Action::Claim(slot.partition))
        .into_iter()
        .collect()
}
