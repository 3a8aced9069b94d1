//! The partition that every gateway reads: what is for users of whom the classifiers know nothing,
//! because Redis is away or has lost its memory. A gateway takes out what is for its own sessions and
//! is blind to everybody else: it answers for nobody, commits nothing, and a push is checked for each.

use std::sync::Arc;
use std::time::Duration;

use protocol::{BROADCAST, DeliveryHeaders, Target};
use service::kafka::{Consumer, Feed, FeedError, Incoming, KafkaError, ReadFeed, Topics};
use service::readiness::Condition;
use service::trace::Reads;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::metrics::Observed;
use crate::registry::Registry;
use crate::socket::{Bound, Item};

/// How long Kafka may take to say where it ends, before it is asked again.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long a fetch waits when there is nothing, which is nearly always: what comes ends the wait.
pub const FETCH_WAIT: Duration = Duration::from_millis(500);
/// Between two attempts to read it.
const AGAIN: Duration = Duration::from_millis(500);

/// The task that reads it.
pub struct Broadcast {
    /// Reads nothing else: homes must not wait for it, nor it for them.
    pub consumer: Consumer,
    /// The topics' names.
    pub topics: Topics,
    /// Who is connected.
    pub registry: Arc<Registry>,
    /// Metrics.
    pub observed: Arc<Observed>,
    /// The mailboxes' bound.
    pub bound: Bound,
    /// Traces its records.
    pub reads: Reads,
    /// Met while it is read.
    pub condition: Condition,
    /// Ends the task.
    pub stop: CancellationToken,
}

impl Broadcast {
    /// Reads from its end on until stopped. `begun` is told when that end is a number: no session may
    /// enter earlier, for what is sent after it has entered must be read, and what was sent before was
    /// stored before, so that its catch-up finds it (I4).
    ///
    /// # Errors
    /// [`FeedError`] when it can't be read on: what is missed would be missed by all sessions here.
    pub async fn run(self, begun: oneshot::Sender<()>) -> Result<(), FeedError> {
        let stop = self.stop.clone();
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            ended = self.read(begun) => ended,
        }
    }

    async fn read(self, begun: oneshot::Sender<()>) -> Result<(), FeedError> {
        let mut feed = loop {
            match self.begin().await {
                Ok(feed) => break feed,
                Err(error) => {
                    self.condition.miss(error.to_string());
                    tokio::time::sleep(AGAIN).await;
                }
            }
        };
        self.condition.meet();
        // Nobody waits for it when the gateway stops.
        let _ = begun.send(());
        self.take_all(&mut feed).await
    }

    async fn begin(&self) -> Result<Feed, KafkaError> {
        let topic = self.topics.receive();
        let marks = self.consumer.watermarks(topic, BROADCAST, DEADLINE).await?;
        tracing::info!(from = marks.high, "broadcasts read");
        self.consumer.add(topic, BROADCAST, marks.high)
    }

    async fn take_all(&self, feed: &mut impl ReadFeed) -> Result<(), FeedError> {
        loop {
            match feed.recv().await {
                Ok(record) => self.take(record),
                Err(FeedError::Other(error)) => tracing::debug!(error, "broadcasts"),
                Err(error) => return Err(error),
            }
        }
    }

    fn take(&self, record: Incoming) {
        self.observed.broadcasts.inc();
        let span = self.reads.begin(&record);
        let headers = match DeliveryHeaders::decode(record.header_slices()) {
            Ok(headers) => headers,
            Err(error) => {
                self.observed.unreadable.inc();
                tracing::warn!(offset = record.offset, %error, "unreadable broadcast");
                return;
            }
        };
        let Target::Users(users) = &headers.target else {
            // A classifier's first record: it is for nobody.
            return;
        };
        let frame = record.payload.unwrap_or_default();
        let item = || match (headers.room, headers.seq) {
            (Some(room), Some(seq)) => {
                let frame = Some(frame.clone());
                // Nobody keeps custody of it.
                let round = None;
                Item::Live {
                    room,
                    seq,
                    frame,
                    round,
                }
            }
            _ => Item::Signal(frame.clone()),
        };
        let ended = self.registry.tell(users, item, self.bound);
        self.observed.deliveries.ended.inc_by(ended);
        if let Some(mut span) = span {
            span.note("switchboard.recipients", users.len());
            span.end();
        }
    }
}
