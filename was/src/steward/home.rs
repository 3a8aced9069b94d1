//! Reads one home in place of its owner: by the same rule of custody, with no sessions.

use std::sync::Arc;
use std::time::Duration;

use protocol::{DeliveryHeaders, Target};
use service::kafka::{FeedError, Incoming, KafkaError, Publish, ReadFeed};
use tokio_util::sync::CancellationToken;

use crate::custody::{Capacity, Custody, Orphan, Round};
use crate::handover::{Handover, Whereabouts};
use crate::metrics::Observed;
use crate::reading::{BATCH, COMMIT_WITHIN, Commit, RECIPIENTS, TOGETHER};

/// How often the offset is committed.
pub(super) const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// How a reader ended.
pub(super) type Ended = Result<(), ReadError>;

/// Why a home can't be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Feed(#[from] FeedError),
}

/// Who reads one home.
pub(super) struct Reader<F, R, P> {
    pub(super) feed: F,
    pub(super) commit: Commit,
    pub(super) commit_every: Duration,
    pub(super) handover: Arc<Handover<R, P>>,
    pub(super) observed: Arc<Observed>,
    /// Asked before each commit.
    pub(super) may_commit: Box<dyn Fn() -> bool + Send + Sync>,
    pub(super) stop: CancellationToken,
}

impl<F: ReadFeed, R: Whereabouts, P: Publish> Reader<F, R, P> {
    /// Reads until stopped: what is read is handed on before more is read, so nothing piles up while
    /// Kafka is away.
    pub(super) async fn run(mut self) -> Ended {
        let capacity = Capacity {
            records: BATCH,
            deliveries: RECIPIENTS,
        };
        let mut custody = Custody::new(Round::default(), capacity);
        let mut committed = None;
        let mut due = tokio::time::interval(self.commit_every);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                _ = due.tick(), if custody.committable() != committed => {
                    self.commit(&custody, &mut committed).await;
                    continue;
                }
                first = self.feed.recv() => {
                    let ended = self.take_all(&mut custody, first);
                    if !self.hand_on(&mut custody).await {
                        break;
                    }
                    match ended {
                        None => {}
                        Some(FeedError::Removed) => break,
                        Some(error) => return Err(error.into()),
                    }
                }
            }
        }
        let last = self.commit(&custody, &mut committed);
        if tokio::time::timeout(COMMIT_WITHIN, last).await.is_err() {
            self.observed.commit_failures.inc();
            tracing::warn!("a stewarded home's last offset was not committed in time");
        }
        Ok(())
    }

    /// Takes the first record and what else waits, as far as it fits; tells why there will be no more.
    fn take_all(
        &mut self,
        custody: &mut Custody,
        first: Result<Incoming, FeedError>,
    ) -> Option<FeedError> {
        let mut next = first;
        for _ in 0..BATCH {
            match next {
                Ok(record) => self.take(custody, &record),
                Err(FeedError::Other(error)) => tracing::debug!(error, "stewarded home"),
                Err(error) => return Some(error),
            }
            if custody.is_full() {
                break;
            }
            next = self.feed.try_recv().transpose()?;
        }
        None
    }

    /// Whoever a record with a seq is for is not here; everything else ends here.
    fn take(&self, custody: &mut Custody, record: &Incoming) {
        self.observed.steward_records.inc();
        match DeliveryHeaders::decode(record.header_slices()) {
            Ok(DeliveryHeaders {
                room: Some(room),
                seq: Some(seq),
                target: Target::Users(users),
                blind: false,
            }) => {
                for user in users {
                    custody.absent(record.offset, Orphan { user, room, seq });
                }
            }
            // Signals, answers, evictions: of no use to who is not there.
            Ok(_) => {}
            Err(error) => {
                self.observed.unreadable.inc();
                tracing::warn!(offset = record.offset, %error, "unreadable record");
            }
        }
        custody.passed(record.offset);
    }

    /// False when it was stopped before all was done.
    async fn hand_on(&self, custody: &mut Custody) -> bool {
        while let Some(batch) = custody.take_orphans(TOGETHER) {
            if !self.handover.until_handed(&batch.orphans, &self.stop).await {
                return false;
            }
            custody.handed(batch.ticket);
        }
        true
    }

    async fn commit(&self, custody: &Custody, committed: &mut Option<i64>) {
        let next = custody.committable();
        let Some(offset) = next.filter(|_| next != *committed && (self.may_commit)()) else {
            return;
        };
        match (self.commit)(offset).await {
            Ok(()) => *committed = next,
            Err(error) => {
                self.observed.commit_failures.inc();
                tracing::warn!(%error, "a stewarded home's offset was not committed");
            }
        }
    }
}
