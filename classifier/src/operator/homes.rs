//! `classifier homes`: who owns which home, and how far it is read.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use protocol::Home;
use routing::decide::Slot;
use routing::{HomeTable, Redis};
use serde_json::{Value, json};
use service::kafka::{Admin, Consumer, Watermarks};

use super::table::NONE;
use super::{AT_ONCE, DEADLINE, Line, OperatorError, left, millis, since};
use crate::partitions::check_homes;
use crate::settings::Settings;

/// The group that gateways commit for.
const GATEWAYS: &str = "was";

/// A home, as the table in Redis and its partition of `chat-receive` say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeLine {
    /// Which.
    pub home: Home,
    /// Who owns it, or owned it when its lease ended; none when nobody ever did.
    pub owner: Option<String>,
    /// The number of the latest claim: ms since 1970 when it was made, or a little above; 0 for
    /// none.
    pub incarnation: i64,
    /// What is left of the lease; zero when it has ended.
    pub lease_left: Duration,
    /// Who reads it while it has no owner; none when it has one, when no gateway holds a home, and
    /// for one lease after Redis or all gateways were away.
    pub steward: Option<String>,
    /// Where its next reader begins; none when nobody has read it.
    pub committed: Option<i64>,
    /// The offset that the next record gets.
    pub end: i64,
    /// Records that are there and not committed.
    pub lag: i64,
}

/// All homes, by number.
pub async fn homes(settings: &Settings) -> Result<Vec<HomeLine>, OperatorError> {
    let topics = settings.kafka.topics();
    let admin = Admin::connect(&settings.kafka, DEADLINE)?;
    check_homes(&admin, &topics, settings).await?;
    let consumer = Consumer::start(&settings.kafka, GATEWAYS, "operator")?;
    let redis = Redis::connect_patiently(&settings.redis, DEADLINE)?;
    let view = HomeTable::new(&redis, settings.home_count()).look().await?;
    let (view, consumer, topic) = (&view, &consumer, topics.receive());
    stream::iter(&view.table.slots)
        .map(async |slot| {
            let partition = slot.partition.0;
            let steward = view.steward_of(slot.partition);
            let committed = consumer.committed(topic, partition, DEADLINE).await?;
            // After the committed offset: it can't be ahead of the end then.
            let marks = consumer.watermarks(topic, partition, DEADLINE).await?;
            Ok(line(slot.clone(), steward, committed, marks))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

fn line(
    slot: Slot<Home>,
    steward: Option<&str>,
    committed: Option<i64>,
    marks: Watermarks,
) -> HomeLine {
    HomeLine {
        home: slot.partition,
        owner: slot.owner,
        incarnation: slot.claim,
        lease_left: slot.ttl_left,
        steward: steward.map(str::to_owned),
        committed,
        end: marks.high,
        lag: (marks.high - committed.unwrap_or(0).max(marks.low)).max(0),
    }
}

impl Line for HomeLine {
    const COLUMNS: &'static [&'static str] = &[
        "HOME",
        "OWNER",
        "SINCE",
        "LEASE",
        "STEWARD",
        "COMMITTED",
        "END",
        "LAG",
    ];

    fn cells(&self) -> Vec<String> {
        let owner = self.owner.as_deref();
        let committed = self.committed.map(|offset| offset.to_string());
        vec![
            self.home.to_string(),
            owner.unwrap_or(NONE).to_owned(),
            since(owner, self.incarnation),
            left(owner, self.lease_left),
            self.steward.as_deref().unwrap_or(NONE).to_owned(),
            committed.unwrap_or_else(|| NONE.to_owned()),
            self.end.to_string(),
            self.lag.to_string(),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "home": self.home.0,
            "owner": self.owner,
            "incarnation": self.incarnation,
            "lease_left_ms": millis(self.lease_left),
            "steward": self.steward,
            "committed": self.committed,
            "end": self.end,
            "lag": self.lag,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_what_is_there_and_not_committed() {
        let lag = |committed, low, high| {
            let slot = Slot {
                partition: Home(1),
                owner: None,
                claim: 0,
                ttl_left: Duration::ZERO,
            };
            line(slot, None, committed, Watermarks { low, high }).lag
        };
        assert_eq!(lag(None, 0, 0), 0);
        assert_eq!(lag(None, 4, 10), 6);
        assert_eq!(lag(Some(2), 4, 10), 6);
        assert_eq!(lag(Some(9), 4, 10), 1);
        assert_eq!(lag(Some(12), 0, 10), 0);
    }
}
