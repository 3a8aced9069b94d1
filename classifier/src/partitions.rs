//! Whether topics have as many partitions as the settings say: lanes and homes that are counted
//! differently are taken for nobody's, or for another room's.

use service::kafka::{Admin, KafkaError, Topics};

use crate::settings::Settings;

/// They have not, or it can't be known.
#[derive(Debug, thiserror::Error)]
pub enum PartitionsError {
    /// A topic has another number of partitions than a setting says.
    #[error("{setting} = {wanted}, but {topic} has {has} partitions")]
    Differ {
        /// Which setting.
        setting: &'static str,
        /// As the settings say.
        wanted: i32,
        /// Which topic.
        topic: String,
        /// As Kafka says, the broadcast partition included.
        has: usize,
    },
    /// Kafka was not to be asked.
    #[error("partitions can't be counted")]
    Kafka(#[from] KafkaError),
}

/// Whether `lanes` is the number of partitions of `chat-send`.
pub(crate) async fn check_lanes(
    admin: &Admin,
    topics: &Topics,
    settings: &Settings,
) -> Result<(), PartitionsError> {
    check(admin, "lanes", settings.lanes, topics.send(), 0).await
}

/// Whether `homes`, and one for broadcasts, is that of `chat-receive`.
pub(crate) async fn check_homes(
    admin: &Admin,
    topics: &Topics,
    settings: &Settings,
) -> Result<(), PartitionsError> {
    check(admin, "homes", settings.home_count(), topics.receive(), 1).await
}

async fn check(
    admin: &Admin,
    setting: &'static str,
    wanted: i32,
    topic: &str,
    beside: i32,
) -> Result<(), PartitionsError> {
    let has = admin.partitions(topic).await?;
    if i32::try_from(has) == Ok(wanted.saturating_add(beside)) {
        return Ok(());
    }
    Err(PartitionsError::Differ {
        setting,
        wanted,
        topic: topic.to_owned(),
        has,
    })
}
