//! Lanes: lease, fence and progress in one row, by Postgres's clock (docs/architecture.md, "Who owns what").
//!
//! Leases and ttls are durations: nobody compares Postgres's clock with a local one (trap 9).
//! Renewals and claims step over rows that an append holds (trap 18): an append renews them itself.

use std::time::Duration;

use protocol::Lane;
use tokio_postgres::Row;

use crate::row::{get, millis};
use crate::statement::Statement;
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

pub(crate) const ENSURE: Statement = Statement::new(
    "ensure_lanes",
    "insert into lane (lane) select generate_series(0, $1::int - 1) on conflict do nothing",
);

pub(crate) const HEARTBEAT: Statement = Statement::new(
    "lane_heartbeat",
    "select lane_heartbeat($1, $2, $3, $4, $5)",
);

/// Times left, not times: nobody compares clocks.
pub(crate) const TABLE: Statement = Statement::new(
    "lane_table",
    "select name, null::int as lane, null as topic_id, null as owner,
            (extract(epoch from until - clock_timestamp()) * 1000)::bigint as ttl_ms,
            null::bigint as epoch, null::bigint as applied, null::bigint as routed
     from classifier_member
     where until > clock_timestamp()
     union all
     select null, lane, topic_id, owner,
            case when until > clock_timestamp()
                 then (extract(epoch from until - clock_timestamp()) * 1000)::bigint
                 else 0 end,
            epoch, applied, routed
     from lane
     order by lane, name",
);

pub(crate) const CLAIM: Statement = Statement::new(
    "lane_claim",
    "select epoch, applied, routed from lane_claim($1, $2, $3, $4)",
);

pub(crate) const CUT_BACK: Statement = Statement::new(
    "lane_cut_back",
    "update lane set applied = least(applied, $4), routed = least(routed, $4)
     where lane = $2 and owner = $1 and epoch = $3
     returning lane",
);

pub(crate) const RELEASE: Statement = Statement::new(
    "lane_release",
    "update lane set owner = null, until = '-infinity',
                     routed = greatest(routed, least($4, applied))
     where lane = $2 and owner = $1 and epoch = $3
     returning lane",
);

pub(crate) const LEAVE: Statement = Statement::new(
    "lane_leave",
    "delete from classifier_member where name = $1",
);

impl Store {
    /// Makes the rows of lanes 0 to `lanes` − 1 that are not there yet.
    pub async fn ensure_lanes(&self, lanes: i32) -> Result<(), StoreError> {
        self.run(&ENSURE, &[&lanes]).await.map(drop)
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
        let lanes: Vec<i32> = held.iter().map(|h| h.lane.0).collect();
        let epochs: Vec<i64> = held.iter().map(|h| h.epoch).collect();
        let routed: Vec<i64> = held.iter().map(|h| h.routed).collect();
        self.run(&HEARTBEAT, &[&me, &millis(lease), &lanes, &epochs, &routed])
            .await?;
        self.lane_table().await
    }

    /// Who is alive and who owns which lane, for whoever only looks.
    pub async fn lane_table(&self) -> Result<LaneTable, StoreError> {
        table(&self.run(&TABLE, &[]).await?)
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
        let rows = self
            .run(&CLAIM, &[&me, &lane.0, &topic_id, &millis(lease)])
            .await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        Ok(Some(Claim {
            epoch: get(row, "epoch")?,
            applied: get(row, "applied")?,
            routed: get(row, "routed")?,
        }))
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
        let rows = self.run(&CUT_BACK, &[&me, &lane.0, &epoch, &last]).await?;
        Ok(!rows.is_empty())
    }

    /// Gives a lane up at once, after the caller's last append. Whether it was still the caller's.
    pub async fn release(
        &self,
        me: &str,
        lane: Lane,
        epoch: i64,
        routed: i64,
    ) -> Result<bool, StoreError> {
        let rows = self.run(&RELEASE, &[&me, &lane.0, &epoch, &routed]).await?;
        Ok(!rows.is_empty())
    }

    /// Takes `me` off the list of members, so that others count without it. Lanes are released
    /// one by one before.
    pub async fn leave(&self, me: &str) -> Result<(), StoreError> {
        self.run(&LEAVE, &[&me]).await.map(drop)
    }
}

fn table(rows: &[Row]) -> Result<LaneTable, StoreError> {
    let mut table = LaneTable::default();
    for row in rows {
        let ttl_left = Duration::from_millis(get::<i64>(row, "ttl_ms")?.try_into().unwrap_or(0));
        match get::<Option<i32>>(row, "lane")? {
            None => table.members.push(Member {
                name: get(row, "name")?,
                ttl_left,
            }),
            Some(lane) => table.lanes.push(LaneRow {
                lane: Lane(lane),
                topic_id: get(row, "topic_id")?,
                owner: get(row, "owner")?,
                ttl_left,
                epoch: get(row, "epoch")?,
                applied: get(row, "applied")?,
                routed: get(row, "routed")?,
            }),
        }
    }
    Ok(table)
}
