//! Kafka: the only place that knows rdkafka.
//!
//! - [`Producer`]: acks=all, idempotent; every record's fate is told. Behind a gate, which librdkafka needs.
//! - [`Consumer`] and [`Feed`]: partitions are added and removed one by one, each read through a
//!   queue of its own, from a numeric offset.
//! - [`Admin`]: topics and their ids.
//!
//! The numbers in [`settings`](KafkaSettings) and in each client's configuration are measured ones.

mod admin;
mod behind;
mod consumer;
mod context;
mod delivery;
mod fates;
mod feed;
mod gate;
mod native;
mod pem;
mod producer;
mod record;
mod regain;
mod security;
mod settings;
mod start;
mod topics;
mod trouble;

pub use admin::{Admin, TopicSpec};
pub use behind::Ends;
pub use consumer::Consumer;
pub use delivery::{Delivery, Placed, ProduceError, Publish};
pub use feed::{Feed, FeedError, ReadFeed};
pub use producer::{MAX_RECORD_BYTES, Producer};
pub use record::{Incoming, Outgoing};
pub use security::{Identity, Login, SaslMechanism, Security, SecurityProtocol, Tls};
pub use settings::KafkaSettings;
pub use start::{Start, Watermarks};
pub use topics::Topics;

use std::time::Duration;

/// What went wrong with Kafka, other than with one record.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KafkaError {
    /// No broker answered in time.
    #[error(
        "kafka.brokers = {brokers}: no answer to {asked} within {waited:?}; are they running and reachable, and is their listener one for this kafka.security_protocol? Last: {last}"
    )]
    Unreachable {
        /// The setting's value.
        brokers: String,
        /// What was asked for.
        asked: String,
        /// How long.
        waited: Duration,
        /// The last error seen.
        last: String,
    },
    /// Brokers and this client do not come to terms about who is who.
    #[error(
        "{setting}: {advice}. No answer to {asked} within {waited:?} (kafka.brokers = {brokers}); librdkafka says: {said}"
    )]
    NotLetIn {
        /// The setting to look at.
        setting: &'static str,
        /// What is wrong with it, as far as can be told, and what to do.
        advice: &'static str,
        /// What was asked for.
        asked: String,
        /// How long.
        waited: Duration,
        /// The brokers.
        brokers: String,
        /// Why, in librdkafka's words.
        said: String,
    },
    /// A client could not be made: a setting does not fit.
    #[error("a Kafka client can't be made (check the kafka.* settings): {0}")]
    Client(String),
    /// There is no such topic.
    #[error("topic {0} does not exist; has setup been run?")]
    NoTopic(String),
    /// A topic is there with another number of partitions.
    #[error(
        "topic {topic} has {has} partitions, {wanted} are wanted; it is not grown or shrunk here"
    )]
    Partitions {
        /// The topic.
        topic: String,
        /// What it has.
        has: usize,
        /// What is wanted.
        wanted: usize,
    },
    /// The partition is already being read by this consumer.
    #[error("{topic}/{partition} is already read by this client")]
    AlreadyAdded {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// Anything else the brokers refused.
    #[error("{asked}: {message}")]
    Refused {
        /// What was asked for.
        asked: String,
        /// The answer.
        message: String,
    },
}
