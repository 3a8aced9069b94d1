//! Which push worker reads which partition of `chat-push`: leases by Postgres's clock, as those of
//! [lanes](crate::lanes), without progress and without a fence.

use std::time::Duration;

use tokio_postgres::Row;

use crate::lanes::Member;
use crate::row::{get, millis};
use crate::statement::Statement;
use crate::{Store, StoreError};

/// A partition as the table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushRow {
    /// Which.
    pub partition: i32,
    /// Who owns it; none when it was released or never claimed.
    pub owner: Option<String>,
    /// How long the lease still runs; zero when it has ended.
    pub ttl_left: Duration,
    /// The number of the latest claim.
    pub epoch: i64,
}

/// Who is there and who has what: what the decision core decides by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PushTable {
    /// The live workers, by name.
    pub members: Vec<Member>,
    /// All partitions, by number.
    pub partitions: Vec<PushRow>,
}

pub(crate) const ENSURE: Statement = Statement::new(
    "ensure_push_partitions",
    "insert into push_partition (partition) select generate_series(0, $1::int - 1)
     on conflict do nothing",
);

pub(crate) const HEARTBEAT: Statement =
    Statement::new("push_heartbeat", "select push_heartbeat($1, $2, $3, $4)");

/// Times left, not times: nobody compares clocks.
pub(crate) const TABLE: Statement = Statement::new(
    "push_table",
    "select name, null::int as partition, null as owner, null::bigint as epoch,
            (extract(epoch from until - clock_timestamp()) * 1000)::bigint as ttl_ms
     from push_member
     where until > clock_timestamp()
     union all
     select null, partition, owner, epoch,
            case when until > clock_timestamp()
                 then (extract(epoch from until - clock_timestamp()) * 1000)::bigint
                 else 0 end
     from push_partition
     order by partition, name",
);

pub(crate) const CLAIM: Statement =
    Statement::new("push_claim", "select push_claim($1, $2, $3) as epoch");

pub(crate) const RELEASE: Statement = Statement::new(
    "push_release",
    "update push_partition set owner = null, until = '-infinity'
     where partition = $2 and owner = $1 and epoch = $3",
);

pub(crate) const LEAVE: Statement =
    Statement::new("push_leave", "delete from push_member where name = $1");

impl Store {
    /// Makes the rows of partitions 0 to `partitions` − 1 that are not there yet.
    pub async fn ensure_push_partitions(&self, partitions: i32) -> Result<(), StoreError> {
        self.run(&ENSURE, &[&partitions]).await.map(drop)
    }

    /// Says that the worker `me` is alive, renews the partitions that it holds, each under the epoch
    /// of its claim, and returns the whole table as it is then. A held partition whose row names
    /// another owner or epoch is lost: the caller sees it in the table.
    pub async fn push_heartbeat(
        &self,
        me: &str,
        lease: Duration,
        held: &[(i32, i64)],
    ) -> Result<PushTable, StoreError> {
        let (partitions, epochs): (Vec<i32>, Vec<i64>) = held.iter().copied().unzip();
        self.run(&HEARTBEAT, &[&me, &millis(lease), &partitions, &epochs])
            .await?;
        self.push_table().await
    }

    /// Which workers are alive and who reads which partition, for whoever only looks.
    pub async fn push_table(&self) -> Result<PushTable, StoreError> {
        table(&self.run(&TABLE, &[]).await?)
    }

    /// Claims a partition that is free, has lapsed, or is the caller's own from before; the claim's
    /// epoch, higher than any before. None: somebody holds it, or its row is locked just now.
    pub async fn push_claim(
        &self,
        me: &str,
        partition: i32,
        lease: Duration,
    ) -> Result<Option<i64>, StoreError> {
        let rows = self.run(&CLAIM, &[&me, &partition, &millis(lease)]).await?;
        Ok(rows
            .first()
            .map(|row| get(row, "epoch"))
            .transpose()?
            .flatten())
    }

    /// Gives a partition up at once; nothing if it is not the caller's any more.
    pub async fn push_release(
        &self,
        me: &str,
        partition: i32,
        epoch: i64,
    ) -> Result<(), StoreError> {
        self.run(&RELEASE, &[&me, &partition, &epoch])
            .await
            .map(drop)
    }

    /// Takes `me` off the list of workers, so that others count without it.
    pub async fn push_leave(&self, me: &str) -> Result<(), StoreError> {
        self.run(&LEAVE, &[&me]).await.map(drop)
    }
}

fn table(rows: &[Row]) -> Result<PushTable, StoreError> {
    let mut table = PushTable::default();
    for row in rows {
        let ttl_left = Duration::from_millis(get::<i64>(row, "ttl_ms")?.try_into().unwrap_or(0));
        match get::<Option<i32>>(row, "partition")? {
            None => table.members.push(Member {
                name: get(row, "name")?,
                ttl_left,
            }),
            Some(partition) => table.partitions.push(PushRow {
                partition,
                owner: get(row, "owner")?,
                ttl_left,
                epoch: get(row, "epoch")?,
            }),
        }
    }
    Ok(table)
}
