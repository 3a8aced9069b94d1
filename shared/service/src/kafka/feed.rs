//! Reading one partition.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError as Native, RDKafkaErrorCode as Code};
use tokio::sync::Notify;

use super::Incoming;
use super::consumer::Shared;
use super::context::Logging;

/// Why no record came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// The partition was removed from its consumer: there will be nothing more.
    #[error("the partition was removed")]
    Removed,
    /// The offset to read is not there (any more): compare committed offset and watermarks, and
    /// the topic's id, then add the partition again.
    #[error("the offset to read from is not in the partition")]
    OutOfRange,
    /// The topic or partition is gone.
    #[error("the topic or partition does not exist")]
    Gone,
    /// A passing trouble; reading goes on with the next call.
    #[error("can't read for now: {0}")]
    Other(String),
}

/// Records of one partition, in order: Kafka's, or a test's.
pub trait ReadFeed: Send {
    /// The next record, if one is here; never waits.
    fn try_recv(&mut self) -> Result<Option<Incoming>, FeedError>;

    /// The next record. Cancelling loses nothing.
    fn recv(&mut self) -> impl Future<Output = Result<Incoming, FeedError>> + Send;
}

/// One partition of a [`super::Consumer`]; dropping it removes the partition.
///
/// To slow it down, don't read: what is prefetched stays, bounded. (Pausing throws it away.)
pub struct Feed {
    state: Arc<FeedState>,
    consumer: Arc<Shared>,
    topic: Arc<str>,
    partition: i32,
    /// Why there will be nothing more. Kafka's client says it once, and the one who hears it may only
    /// have been looking for what else is there.
    ended: Option<FeedError>,
}

/// What a feed shares with its consumer.
pub(super) struct FeedState {
    /// Until the partition is removed. librdkafka has one queue for a partition, whoever reads it: a feed that kept its end of
    /// it would take the next one's records, and when dropped the call by which the next one is woken.
    queue: Mutex<Option<PartitionQueue<Logging>>>,
    readable: Arc<Notify>,
    /// Behind the last record that was taken.
    pub(super) next: AtomicI64,
}

impl FeedState {
    pub(super) fn new(mut queue: PartitionQueue<Logging>, start_offset: i64) -> Self {
        let readable = Arc::new(Notify::new());
        let wake = Arc::clone(&readable);
        // One permit is kept: a record that comes between a look and the wait wakes the wait.
        queue.set_nonempty_callback(move || wake.notify_one());
        Self {
            queue: Mutex::new(Some(queue)),
            readable,
            next: AtomicI64::new(start_offset),
        }
    }

    /// Ends the feed: no record is taken by it any more.
    pub(super) fn end(&self) {
        drop(self.queue().take());
        self.readable.notify_one();
    }

    fn queue(&self) -> MutexGuard<'_, Option<PartitionQueue<Logging>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    pub(super) fn new(
        state: Arc<FeedState>,
        consumer: Arc<Shared>,
        topic: Arc<str>,
        partition: i32,
    ) -> Self {
        Self {
            state,
            consumer,
            topic,
            partition,
            ended: None,
        }
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// The next record, if one is here; never waits. That there will be none any more is told by each
    /// call from then on.
    pub fn try_recv(&mut self) -> Result<Option<Incoming>, FeedError> {
        let queue = self.state.queue();
        let Some(queue) = queue.as_ref() else {
            return Err(FeedError::Removed);
        };
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        match queue.poll(Duration::ZERO) {
            None => Ok(None),
            Some(Ok(message)) => {
                let record = Incoming::copied(&message);
                self.state.next.store(record.offset + 1, Ordering::Relaxed);
                Ok(Some(record))
            }
            Some(Err(error)) => {
                let error = FeedError::from_native(&error);
                if matches!(error, FeedError::OutOfRange | FeedError::Gone) {
                    self.ended = Some(error.clone());
                }
                Err(error)
            }
        }
    }

    /// The next record. Cancelling loses nothing: a record is taken only when it is returned.
    pub async fn recv(&mut self) -> Result<Incoming, FeedError> {
        loop {
            if let Some(record) = self.try_recv()? {
                return Ok(record);
            }
            self.state.readable.notified().await;
        }
    }
}

impl ReadFeed for Feed {
    fn try_recv(&mut self) -> Result<Option<Incoming>, FeedError> {
        Self::try_recv(self)
    }

    fn recv(&mut self) -> impl Future<Output = Result<Incoming, FeedError>> + Send {
        Self::recv(self)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.consumer
            .remove_if(&self.topic, self.partition, &self.state);
    }
}

impl FeedError {
    fn from_native(error: &Native) -> Self {
        match error.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => Self::OutOfRange,
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
                Self::Gone
            }
            _ => Self::Other(error.to_string()),
        }
    }
}
