//! `classifier lanes`: who owns which lane, and how far it is.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use protocol::Lane;
use serde_json::{Value, json};
use service::kafka::{Admin, Consumer, Watermarks};
use std::time::Duration;
use store::{LaneRow, Store, StoreSettings};

use super::table::NONE;
use super::{AT_ONCE, DEADLINE, Line, OperatorError, left, millis, since};
use crate::settings::Settings;

/// A lane, as its row in Postgres and its partition of `chat-send` say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneLine {
    /// Which.
    pub lane: Lane,
    /// Who owns it, or owned it when its lease ended; none when it was released.
    pub owner: Option<String>,
    /// The number of the latest claim: ms since 1970 when it was made, or a little above.
    pub epoch: i64,
    /// What is left of the lease; zero when it has ended.
    pub lease_left: Duration,
    /// The last decided offset; −1 for none.
    pub applied: i64,
    /// The last routed offset; −1 for none. Written with the next append or renewal, so that a
    /// busy lane is a little further than it says.
    pub routed: i64,
    /// The offset that the next command gets.
    pub end: i64,
    /// Commands that are there and not routed yet.
    pub behind: i64,
}

/// All lanes, by number.
pub async fn lanes(settings: &Settings) -> Result<Vec<LaneLine>, OperatorError> {
    let topics = settings.kafka.topics();
    let admin = Admin::connect(&settings.kafka, DEADLINE)?;
    let consumer = Consumer::start(&settings.kafka, "operator", "operator")?;
    let patient = StoreSettings {
        statement_timeout: DEADLINE,
        ..settings.store.clone()
    };
    let store = Store::connect(&patient).await?;
    let topic_id = admin.topic_id(topics.send()).await?;
    // Before the ends are read: what is routed meanwhile makes nobody look ahead of the log.
    let table = store.lane_table().await?;
    let (consumer, topic, topic_id) = (&consumer, topics.send(), topic_id.as_str());
    stream::iter(table.lanes)
        .map(async |row| {
            let marks = consumer.watermarks(topic, row.lane.0, DEADLINE).await?;
            Ok(line(row, topic_id, marks))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

fn line(row: LaneRow, topic_id: &str, marks: Watermarks) -> LaneLine {
    // Offsets of another topic say nothing about this one: its next owner begins at its beginning.
    let same = row.topic_id.as_deref() == Some(topic_id);
    let next = if same { row.routed + 1 } else { marks.low };
    LaneLine {
        lane: row.lane,
        owner: row.owner,
        epoch: row.epoch,
        lease_left: row.ttl_left,
        applied: row.applied,
        routed: row.routed,
        end: marks.high,
        behind: (marks.high - next.max(marks.low)).max(0),
    }
}

impl Line for LaneLine {
    const COLUMNS: &'static [&'static str] = &[
        "LANE", "OWNER", "SINCE", "LEASE", "APPLIED", "ROUTED", "END", "BEHIND",
    ];

    fn cells(&self) -> Vec<String> {
        let owner = self.owner.as_deref();
        vec![
            self.lane.to_string(),
            owner.unwrap_or(NONE).to_owned(),
            since(owner, self.epoch),
            left(owner, self.lease_left),
            self.applied.to_string(),
            self.routed.to_string(),
            self.end.to_string(),
            self.behind.to_string(),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "lane": self.lane.0,
            "owner": self.owner,
            "epoch": self.epoch,
            "lease_left_ms": millis(self.lease_left),
            "applied": self.applied,
            "routed": self.routed,
            "end": self.end,
            "behind": self.behind,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(routed: i64) -> LaneRow {
        LaneRow {
            lane: Lane(3),
            topic_id: Some("this".into()),
            owner: None,
            ttl_left: Duration::ZERO,
            epoch: 0,
            applied: routed,
            routed,
        }
    }

    /// What was deleted by age, and offsets of a topic that is gone, are nobody's to do.
    #[test]
    fn behind_is_what_is_there_and_not_routed() {
        let marks = |low, high| Watermarks { low, high };
        assert_eq!(line(row(-1), "this", marks(0, 0)).behind, 0);
        assert_eq!(line(row(6), "this", marks(0, 10)).behind, 3);
        assert_eq!(line(row(-1), "this", marks(4, 10)).behind, 6);
        assert_eq!(line(row(12), "this", marks(0, 10)).behind, 0);
        assert_eq!(line(row(12), "another", marks(0, 10)).behind, 10);
    }
}
