//! `classifier dlq replay`: a letter goes back to the topic that it came from.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use protocol::header;
use service::kafka::{Admin, Consumer, Incoming, Outgoing, Placed, Producer, Topics};

use super::dlq::{letter, text};
use super::{DEADLINE, OperatorError};
use crate::pipeline::burial::may_be_cut;
use crate::settings::Settings;

/// How long Kafka may take over the record.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a letter is not sent back. Nothing was produced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such partition.
    #[error("chat-dlq has {0} partitions, from 0 on")]
    Partition(usize),
    /// There is no such letter, any more or yet.
    #[error("no record is there: the partition holds offsets from {low} to below {high}")]
    Absent {
        /// The first one there is.
        low: i64,
        /// The one behind the last.
        high: i64,
    },
    /// It was made by a classifier, not read from a topic.
    #[error("it does not say which topic it came from")]
    NoOrigin,
    /// Its topic is not one that is read here.
    #[error(
        "it came from {0:?}, which is no topic of this installation that commands or pushes are read from"
    )]
    Foreign(String),
    /// Its end, or its key's, was cut off when it was buried.
    #[error("it is so large that its end may have been cut off when it was buried")]
    Cut,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Where the letter lies, and goes on lying: partition and offset of `chat-dlq`.
    pub letter: (i32, i64),
    /// Why it was there.
    pub reason: String,
    /// The topic that it was sent to.
    pub topic: Arc<str>,
    /// Where it is now.
    pub placed: Placed,
    /// The size of its value.
    pub bytes: usize,
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (partition, offset) = self.letter;
        write!(
            f,
            "chat-dlq {partition}@{offset} ({}, {} bytes) was sent to {} and is there as {}@{}",
            self.reason, self.bytes, self.topic, self.placed.partition, self.placed.offset
        )
    }
}

/// Produces the letter's bytes, under the key that they came with, to their topic again. The letter
/// stays where it is. Sent back twice it is there twice: who reads it tells by its id.
pub async fn replay(
    settings: &Settings,
    partition: i32,
    offset: i64,
) -> Result<Replayed, OperatorError> {
    let topics = settings.kafka.topics();
    let admin = Admin::connect(&settings.kafka, DEADLINE)?;
    let partitions = admin.partitions(topics.dlq()).await?;
    if !usize::try_from(partition).is_ok_and(|partition| partition < partitions) {
        return Err(Refused::Partition(partitions).into());
    }
    let consumer = Consumer::start(&settings.kafka, "operator", "operator")?;
    let found = letter(&consumer, topics.dlq(), partition, offset).await?;
    let found = found.map_err(|marks| Refused::Absent {
        low: marks.low,
        high: marks.high,
    })?;
    let record = original(&topics, &found)?;
    let producer = Producer::start(&settings.kafka, "operator", MESSAGE_TIMEOUT)?;
    let placed = producer.send(&record)?.await?;
    Ok(Replayed {
        letter: (partition, offset),
        reason: text(&found, header::REASON).unwrap_or_default(),
        topic: record.topic,
        placed,
        bytes: found.payload.map_or(0, |payload| payload.len()),
    })
}

/// The record that the letter was.
fn original(topics: &Topics, letter: &Incoming) -> Result<Outgoing, Refused> {
    let origin = text(letter, header::ORIGIN_TOPIC).ok_or(Refused::NoOrigin)?;
    let read = [topics.send(), topics.signal(), topics.push()];
    let topic = read.into_iter().find(|topic| ***topic == *origin);
    let topic = topic.ok_or(Refused::Foreign(origin))?;
    let key = letter.header(header::ORIGIN_KEY).cloned();
    if may_be_cut(key.as_ref(), letter.payload.as_ref()) {
        return Err(Refused::Cut);
    }
    let partition = text(letter, header::ORIGIN_PARTITION).and_then(|text| text.parse().ok());
    Ok(Outgoing {
        // The key says where; who came without one came there by its sender's choice.
        partition: if key.is_some() { None } else { partition },
        key,
        headers: Vec::new(),
        topic: Arc::clone(topic),
        payload: letter.payload.clone(),
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use protocol::{DlqReason, Lane};
    use service::kafka::MAX_RECORD_BYTES;

    use super::*;
    use crate::pipeline::burial::burial;
    use crate::ports;

    fn buried(topic: &str, key: Option<&[u8]>, bytes: usize) -> Incoming {
        let raw = ports::Incoming {
            offset: 7,
            key: key.map(Bytes::copy_from_slice),
            payload: Some(vec![b'x'; bytes].into()),
            trace: None,
        };
        let letter = burial(topic, Lane(3), &raw, DlqReason::Undecodable);
        let headers = letter.headers.into_iter();
        Incoming {
            partition: 0,
            offset: 0,
            key: letter.key,
            headers: headers
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            payload: letter.payload,
            timestamp_ms: 0,
        }
    }

    #[test]
    fn the_bytes_and_the_key_are_as_they_came() {
        let topics = Topics::new("p-");
        let keyed = original(&topics, &buried("p-chat-send", Some(b"12"), 5)).unwrap();
        assert_eq!(&*keyed.topic, "p-chat-send");
        assert_eq!(keyed.key.as_deref(), Some(&b"12"[..]));
        assert_eq!(keyed.payload.as_deref(), Some(&b"xxxxx"[..]));
        assert_eq!(keyed.partition, None);
        let keyless = original(&topics, &buried("p-chat-signal", None, 5)).unwrap();
        assert_eq!((keyless.key, keyless.partition), (None, Some(3)));
    }

    #[test]
    fn what_is_not_whole_or_not_from_here_is_refused() {
        let topics = Topics::new("p-");
        let refused = |letter| original(&topics, &letter).unwrap_err();
        let foreign = Refused::Foreign("chat-send".into());
        assert_eq!(refused(buried("chat-send", None, 5)), foreign);
        let large = buried("p-chat-send", None, MAX_RECORD_BYTES);
        assert_eq!(refused(large), Refused::Cut);
        assert_eq!(
            refused(buried("p-chat-send", Some(&[b'k'; 600]), 5)),
            Refused::Cut
        );
        let mut made = buried("p-chat-send", None, 5);
        made.headers.retain(|(name, _)| name == header::REASON);
        assert_eq!(refused(made), Refused::NoOrigin);
    }
}
