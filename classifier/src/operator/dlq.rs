//! `classifier dlq list`: the newest letters of `chat-dlq`.

use bytes::Bytes;
use protocol::{format_ms, header};
use serde_json::{Value, json};
use service::kafka::{Admin, Consumer, Feed, FeedError, Incoming, Watermarks};
use tokio::time::timeout;

use super::table::NONE;
use super::{DEADLINE, Line, OperatorError};
use crate::settings::Settings;

/// A letter, without its value: that may be what somebody said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its partition of `chat-dlq`.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// When it was put there, ms since 1970.
    pub at: i64,
    /// Why; as its header says.
    pub reason: Option<String>,
    /// Topic, partition and offset that it came from; none if it was made, not read.
    pub origin: Option<(String, String, String)>,
    /// The key that it came with.
    pub key: Option<String>,
    /// The size of its value.
    pub bytes: usize,
}

/// The newest letters, at most `limit`, oldest first.
pub async fn letters(settings: &Settings, limit: usize) -> Result<Vec<Letter>, OperatorError> {
    let topics = settings.kafka.topics();
    let topic = topics.dlq();
    let admin = Admin::connect(&settings.kafka, DEADLINE)?;
    let consumer = Consumer::start(&settings.kafka, "operator", "operator")?;
    let partitions = i32::try_from(admin.partitions(topic).await?).unwrap_or(i32::MAX);
    let mut letters = Vec::new();
    for partition in 0..partitions {
        let marks = consumer.watermarks(topic, partition, DEADLINE).await?;
        let newest = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut next = marks.low.max(marks.high.saturating_sub(newest));
        if next >= marks.high {
            continue;
        }
        let mut feed = consumer.add(topic, partition, next)?;
        while next < marks.high {
            let record = read(&mut feed, next).await?;
            next = record.offset + 1;
            letters.push(Letter::of(&record));
        }
    }
    letters.sort_by_key(|letter| (letter.at, letter.partition, letter.offset));
    let older = letters.len().saturating_sub(limit);
    Ok(letters.split_off(older))
}

/// The letter at this place, whole; none if there is none.
pub(super) async fn letter(
    consumer: &Consumer,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<Result<Incoming, Watermarks>, OperatorError> {
    let marks = consumer.watermarks(topic, partition, DEADLINE).await?;
    if !(marks.low..marks.high).contains(&offset) {
        return Ok(Err(marks));
    }
    let mut feed = consumer.add(topic, partition, offset)?;
    let record = read(&mut feed, offset).await?;
    Ok(match record.offset == offset {
        true => Ok(record),
        false => Err(marks),
    })
}

/// The next record; one at `offset` is known to be there.
async fn read(feed: &mut Feed, offset: i64) -> Result<Incoming, OperatorError> {
    let next = async {
        loop {
            match feed.recv().await {
                // Reading goes on by itself.
                Err(FeedError::Other(reason)) => tracing::warn!(reason, "chat-dlq is not read now"),
                other => return other,
            }
        }
    };
    let record = timeout(DEADLINE, next).await;
    let partition = feed.partition();
    Ok(record.map_err(|_elapsed| OperatorError::Silent { partition, offset })??)
}

/// A header as text, whatever its bytes are.
pub(super) fn text(record: &Incoming, name: &str) -> Option<String> {
    let bytes = record.header(name)?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

impl Letter {
    fn of(record: &Incoming) -> Self {
        let text = |name| text(record, name);
        let place = || text(header::ORIGIN_PARTITION).zip(text(header::ORIGIN_OFFSET));
        let origin = text(header::ORIGIN_TOPIC).zip(place());
        Self {
            partition: record.partition,
            offset: record.offset,
            at: record.timestamp_ms,
            reason: text(header::REASON),
            origin: origin.map(|(topic, (partition, offset))| (topic, partition, offset)),
            key: text(header::ORIGIN_KEY),
            bytes: record.payload.as_ref().map_or(0, Bytes::len),
        }
    }
}

impl Line for Letter {
    const COLUMNS: &'static [&'static str] = &[
        "PARTITION",
        "OFFSET",
        "AT",
        "REASON",
        "ORIGIN",
        "KEY",
        "BYTES",
    ];

    fn cells(&self) -> Vec<String> {
        // Strangers' bytes: nothing of them moves the cursor of who looks.
        let shown = |text: &Option<String>| match text {
            Some(text) => text
                .chars()
                .take(40)
                .flat_map(char::escape_default)
                .collect(),
            None => NONE.to_owned(),
        };
        let origin = self.origin.as_ref();
        let origin =
            origin.map(|(topic, partition, offset)| format!("{topic}/{partition}@{offset}"));
        vec![
            self.partition.to_string(),
            self.offset.to_string(),
            format_ms(self.at),
            shown(&self.reason),
            origin.unwrap_or_else(|| NONE.to_owned()),
            shown(&self.key),
            self.bytes.to_string(),
        ]
    }

    fn json(&self) -> Value {
        let origin = self.origin.as_ref().map(|(topic, partition, offset)| {
            json!({"topic": topic, "partition": partition.parse::<i32>().ok(), "offset": offset.parse::<i64>().ok()})
        });
        json!({
            "partition": self.partition,
            "offset": self.offset,
            "at": format_ms(self.at),
            "reason": self.reason,
            "origin": origin,
            "key": self.key,
            "bytes": self.bytes,
        })
    }
}
