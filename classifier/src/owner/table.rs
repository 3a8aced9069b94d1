//! The lane table as the decision core reads it.

use std::time::Duration;

use protocol::Lane;
use routing::decide::{Member, Slot, Table};
use store::LaneTable;

pub(super) fn of(table: &LaneTable, read_at: Duration) -> Table<Lane> {
    Table {
        read_at,
        members: table
            .members
            .iter()
            .map(|member| Member {
                name: member.name.clone(),
                ttl_left: member.ttl_left,
            })
            .collect(),
        slots: table
            .lanes
            .iter()
            .map(|row| Slot {
                partition: row.lane,
                owner: row.owner.clone(),
                claim: row.epoch,
                ttl_left: row.ttl_left,
            })
            .collect(),
    }
}
