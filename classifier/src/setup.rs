//! `classifier setup`: topics, schema, lane rows. Safe to repeat, and side by side.

use std::time::Duration;

use service::kafka::{Admin, KafkaError, TopicSpec, Topics};
use store::{Store, StoreError, StoreSettings};

use crate::settings::Settings;

/// How long brokers may take to answer and to make the topics, and Postgres over one question.
const DEADLINE: Duration = Duration::from_secs(30);
const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
/// What clients and topics take (docs/protocol.md, "Limits").
const MAX_MESSAGE_BYTES: u32 = 2 * 1024 * 1024;

/// Why it was not set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The topics.
    #[error("the topics could not be made")]
    Kafka(#[from] KafkaError),
    /// The schema or the lanes.
    #[error("the database could not be set up")]
    Store(#[from] StoreError),
}

/// Makes what is missing.
pub async fn run(settings: &Settings) -> Result<(), SetupError> {
    let admin = Admin::connect(&settings.kafka, DEADLINE)?;
    admin.ensure_topics(&topics(settings)).await?;
    let patient = StoreSettings {
        statement_timeout: DEADLINE,
        ..settings.store.clone()
    };
    let store = Store::connect(&patient).await?;
    store.setup().await?;
    store.ensure_lanes(settings.lanes).await?;
    tracing::info!(lanes = settings.lanes, homes = settings.homes, "set up");
    Ok(())
}

/// The topics of docs/operations.md, "Setup and topics".
pub fn topics(settings: &Settings) -> Vec<TopicSpec> {
    let names = Topics::new(&settings.kafka.topic_prefix);
    let lanes = usize::try_from(settings.lanes).unwrap_or(1);
    let topic = |name: &str, partitions: usize, retention_ms: u64| TopicSpec {
        name: name.to_owned(),
        partitions,
        replication: settings.replication,
        configs: vec![
            ("retention.ms", retention_ms.to_string()),
            ("max.message.bytes", MAX_MESSAGE_BYTES.to_string()),
            ("min.insync.replicas", settings.min_insync.to_string()),
            // A leader that had not all of it must never come back as the truth (I1).
            ("unclean.leader.election.enable", "false".to_owned()),
        ],
    };
    vec![
        topic(names.send(), lanes, 7 * DAY_MS),
        topic(names.signal(), lanes, 10 * MINUTE_MS),
        topic(names.receive(), 1 + settings.homes, DAY_MS),
        topic(names.push(), 12, 7 * DAY_MS),
        topic(names.dlq(), 3, 30 * DAY_MS),
    ]
}
