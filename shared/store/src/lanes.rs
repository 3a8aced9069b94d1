//! Lanes: lease, fence and progress in one row, by Postgres's clock (§5).
//!
//! Leases and ttls are durations: nobody compares Postgres's clock with a local one (trap 9).
//! Renewals and claims step over rows that an append holds (trap 18): an append renews them itself.

use std::time::Duration;

use protocol::Lane;

use crate::{Store, StoreError};

/// A lane that the caller believes to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldLane {
    /// Which.
    pub lane: Lane,
    /// The epoch of the caller's claim.
    pub epoch: i64,
    /// The last offset whose deliveries are acknowledged, −1 for none. Never moves back.
    pub routed: i64,
}

/// A classifier that has been heard of within its lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// How long its lease still runs.
    pub ttl_left: Duration,
}

/// A lane as the table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneRow {
    /// Which.
    pub lane: Lane,
    /// The id of the topic that `applied` and `routed` are offsets of; none before the first claim.
    pub topic_id: Option<String>,
    /// Who owns it; none when it was released or never claimed.
    pub owner: Option<String>,
    /// How long the lease still runs; zero when it has ended.
    pub ttl_left: Duration,
    /// The number of the latest claim.
    pub epoch: i64,
    /// The last decided offset, −1 for none.
    pub applied: i64,
    /// The last routed offset, −1 for none; never above `applied`.
    pub routed: i64,
}

/// Who is there and who has what: what the decision core decides by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LaneTable {
    /// The live classifiers, by name.
    pub members: Vec<Member>,
    /// All lanes, by number.
    pub lanes: Vec<LaneRow>,
}

/// A claim that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Its number: higher than any before.
    pub epoch: i64,
    /// The last decided offset: at and below it is only routed again.
    pub applied: i64,
    /// The last routed offset: reading starts at the one after.
    pub routed: i64,
}

impl Store {
    /// Makes the rows of lanes 0 to `lanes` − 1 that are not there yet.
    pub async fn ensure_lanes(&self, lanes: i32) -> Result<(), StoreError> {
        let _ = lanes;
        todo!()
    }

    /// Says that `me` is alive, renews the lanes that it holds under these epochs, and returns the
    /// whole table as it is then. A held lane whose row names another owner or epoch, or another
    /// `applied` than the caller's, is lost: the caller sees it in the table.
    pub async fn heartbeat(
        &self,
        me: &str,
        lease: Duration,
        held: &[HeldLane],
    ) -> Result<LaneTable, StoreError> {
        let _ = (me, lease, held);
        todo!()
    }

    /// Claims a lane that is free, has lapsed, or is the caller's own from before (a restart under
    /// the same name). None: somebody holds it, or its row is locked just now. A row that was about
    /// another topic starts with `applied` and `routed` at none.
    pub async fn claim(
        &self,
        me: &str,
        lane: Lane,
        topic_id: &str,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        let _ = (me, lane, topic_id, lease);
        todo!()
    }

    /// Sets an `applied` that lies beyond the log's end back to `last`, the last offset there is
    /// (−1: none). Whether it was the caller's to set.
    pub async fn cut_back(
        &self,
        me: &str,
        lane: Lane,
        epoch: i64,
        last: i64,
    ) -> Result<bool, StoreError> {
        let _ = (me, lane, epoch, last);
        todo!()
    }

    /// Gives a lane up at once, after the caller's last append. Whether it was still the caller's.
    pub async fn release(
        &self,
        me: &str,
        lane: Lane,
        epoch: i64,
        routed: i64,
    ) -> Result<bool, StoreError> {
        let _ = (me, lane, epoch, routed);
        todo!()
    }

    /// Takes `me` off the list of members, so that others count without it. Lanes are released
    /// one by one before.
    pub async fn leave(&self, me: &str) -> Result<(), StoreError> {
        let _ = me;
        todo!()
    }
}
