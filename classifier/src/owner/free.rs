//! Notices lanes that have become free, long before the next renewal: a lane that was given back must
//! not wait for it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use protocol::Lane;
use store::LaneTable;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use crate::pipeline::context::Context;
use crate::ports::{Ledger, Outside};

/// Between two looks. One costs a read of some rows; a hint from Postgres would need a connection of its
/// own, and these looks beside it for when that is lost.
const LOOK: Duration = Duration::from_millis(100);

/// Tells `freed` of lanes that were not free at the look before. Of those that stay free, for whatever
/// reason, nothing more is said: the renewal goes on trying.
pub(super) async fn watch<O: Outside>(context: Arc<Context<O>>, freed: Arc<Notify>) -> Infallible {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known = BTreeSet::new();
    loop {
        looks.tick().await;
        // Postgres away: the renewal says so.
        let Ok(table) = context.ledger.lane_table().await else {
            continue;
        };
        let now = free(&table);
        if !now.is_subset(&known) {
            freed.notify_one();
        }
        known = now;
    }
}

/// Lanes that anybody may claim, each with the number of the claim that has ended: a lane that was taken
/// and given back between two looks is free anew.
fn free(table: &LaneTable) -> BTreeSet<(Lane, i64)> {
    let free = table.lanes.iter();
    let free = free.filter(|row| row.owner.is_none() || row.ttl_left.is_zero());
    free.map(|row| (row.lane, row.epoch)).collect()
}
