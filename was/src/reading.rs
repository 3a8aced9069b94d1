//! What readers of homes have in common: that of the own home and those of stewarded ones.

use std::time::Duration;

use futures_util::future::BoxFuture;
use service::kafka::KafkaError;

/// Records taken at once: one lock of the registry for all of them.
pub(crate) const BATCH: usize = 512;
/// Recipients after which no more records are taken at once (I9).
pub(crate) const RECIPIENTS: usize = 20_000;
/// Orphans handed on together; one batch is under way at a time.
pub(crate) const TOGETHER: usize = 5_000;
/// How long the last commits may take: what is not committed is read again, and dropped as seen or
/// handed on again.
pub(crate) const COMMIT_WITHIN: Duration = Duration::from_secs(1);
/// How long the last sessions' orphans may take: what is not handed on is not committed, and whoever
/// reads the home next does it.
pub(crate) const HAND_ON_WITHIN: Duration = Duration::from_secs(1);

/// Commits where to read next.
pub(crate) type Commit =
    Box<dyn Fn(i64) -> BoxFuture<'static, Result<(), KafkaError>> + Send + Sync>;
