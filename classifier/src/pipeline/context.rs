//! What every task of the pipeline works with.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::metrics::ClassifierMetrics;
use crate::ports::Outside;
use crate::room::Rules;

/// How long a lane's or member's lease runs without renewal.
pub const LEASE: Duration = Duration::from_secs(2);
/// How often idle lanes are renewed and the table is looked at.
pub const RENEWAL: Duration = Duration::from_millis(500);

/// Shared by owner, workers, routers and the signals task.
#[derive(Debug)]
pub struct Context<O: Outside> {
    /// Postgres.
    pub ledger: O::Ledger,
    /// Kafka, read.
    pub source: O::Lanes,
    /// Kafka, written.
    pub publish: O::Publish,
    /// Redis.
    pub routes: O::Routes,
    /// This classifier's name: the owner in its lanes' rows.
    pub name: String,
    /// How many lanes there are.
    pub lanes: i32,
    /// What an operator set.
    pub rules: Rules,
    /// The name of `chat-send`, for `chat-dlq`.
    pub topic: String,
    /// Counts and times.
    pub metrics: ClassifierMetrics,
    /// Cancelled when the process stops: nothing that fails is waited for any more.
    pub stop: CancellationToken,
}
