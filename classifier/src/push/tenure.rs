//! One partition for as long as this process holds it: opened, read, committed, let go.

use std::sync::Arc;
use std::time::Duration;

use protocol::UserId;
use service::clock::Clock;
use service::kafka::{Consumer, Feed, KafkaError};
use service::lifecycle::chain;
use store::Store;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::done::Partition;
use super::oldest::Oldest;
use super::reader::Reader;
use super::shared::Shared;
use super::told::Item;
use crate::pipeline::backoff::Backoff;
use crate::ports::{Publish, Routes};

/// How long the brokers may take over one question.
const DEADLINE: Duration = Duration::from_secs(5);
/// Between two commits of what is done.
const COMMITS: Duration = Duration::from_secs(1);

/// For how long the last one is tried, and between two tries.
const LAST_COMMIT: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(50);

/// What every tenure of this process works with.
pub(super) struct Ground<R, P> {
    pub(super) name: String,
    pub(super) store: Store,
    pub(super) consumer: Consumer,
    pub(super) routes: R,
    /// There are homes from 1 to this one: a route to another is none.
    pub(super) homes: i32,
    pub(super) shared: Arc<Shared<P>>,
    pub(super) clock: Clock,
    /// Told of every partition that is read.
    pub(super) oldest: Oldest,
    /// From a record's time to the last look.
    pub(super) wait: Duration,
}

/// One claim of a partition.
pub(super) struct Tenure<R, P> {
    pub(super) ground: Arc<Ground<R, P>>,
    pub(super) number: i32,
    pub(super) epoch: i64,
    /// Cancelled when it is to be let go.
    pub(super) leave: CancellationToken,
    /// Cancelled when somebody else has it.
    pub(super) lost: CancellationToken,
    /// Until when the lease surely runs.
    pub(super) until: watch::Receiver<Instant>,
    /// Bounded: when it is full, records wait in Kafka.
    pub(super) to: mpsc::Sender<(UserId, Item)>,
}

impl<R: Routes, P: Publish> Tenure<R, P> {
    /// Holds the partition until it is let go or lost. It ends as well when the partition can't be
    /// read on: whoever claims it next finds out where it begins.
    pub(super) async fn run(self) {
        let (lost, leave) = (self.lost.clone(), self.leave.clone());
        let opened = tokio::select! {
            biased;
            () = lost.cancelled() => return,
            () = leave.cancelled() => None,
            opened = self.open() => opened,
        };
        if let Some((feed, start)) = opened {
            let partition = Arc::new(Partition::new(self.number, start));
            self.ground.oldest.watch(&partition);
            self.hold(feed, partition).await;
        }
        if lost.is_cancelled() {
            return;
        }
        let Ground { name, store, .. } = &*self.ground;
        let released = store.push_release(name, self.number, self.epoch).await;
        if let Err(error) = released {
            // It lapses by itself.
            let partition = self.number;
            tracing::warn!(
                partition,
                error = chain(&error),
                "a partition was not released"
            );
        }
    }

    /// Where it is read from on; none when it is to be let go before that is known.
    async fn open(&self) -> Option<(Feed, i64)> {
        let mut backoff = Backoff::default();
        loop {
            match self.try_open().await {
                Ok(opened) => return Some(opened),
                Err(error) => {
                    let partition = self.number;
                    tracing::warn!(partition, %error, "chat-push can't be read yet");
                    backoff.wait(&self.leave).await.ok()?;
                }
            }
        }
    }

    async fn try_open(&self) -> Result<(Feed, i64), KafkaError> {
        let Ground {
            consumer, shared, ..
        } = &*self.ground;
        let topic = shared.topics.push();
        let start = consumer.start_of(topic, self.number, DEADLINE).await?;
        let start = start.offset();
        Ok((consumer.add(topic, self.number, start)?, start))
    }

    async fn hold(&self, feed: Feed, partition: Arc<Partition>) {
        // Whatever ends this, nothing new is begun afterwards.
        let _over = partition.over.clone().drop_guard();
        let mut committed = partition.next();
        {
            let reader = Reader::new(&self.ground, feed, &partition, &self.to);
            tokio::select! {
                biased;
                () = self.lost.cancelled() => return,
                () = self.leave.cancelled() => {}
                ended = reader.run() => {
                    let error = ended.err().map(|error| chain(&error));
                    tracing::error!(partition = self.number, error, "chat-push can't be read on");
                }
                () = self.keep_committing(&partition, &mut committed) => {}
            }
        }
        // Nothing is read any more; what was handed on and has not begun does not begin.
        partition.over.cancel();
        partition.under_way.close();
        tokio::select! {
            biased;
            () = self.lost.cancelled() => return,
            () = partition.under_way.wait() => {}
        }
        tokio::select! {
            biased;
            () = self.lost.cancelled() => {}
            () = self.commit_all(&partition, &mut committed) => {}
        }
    }

    /// Notes all that is done, nothing being under way any more. What is not noted is told a second time: so a renewal that is
    /// late is waited for, and a commit that fails is tried again, but not for long while a server is away.
    async fn commit_all(&self, partition: &Partition, committed: &mut i64) {
        let mut until = self.until.clone();
        let all = async {
            while partition.next() != *committed {
                let runs = until.wait_for(|until| Instant::now() < *until);
                if runs.await.is_err() {
                    // Nobody renews any more.
                    return;
                }
                self.commit(partition, committed).await;
                if partition.next() != *committed {
                    tokio::time::sleep(AGAIN).await;
                }
            }
        };
        // What was sent by then may still arrive.
        let _ = tokio::time::timeout(LAST_COMMIT, all).await;
    }

    async fn keep_committing(&self, partition: &Partition, committed: &mut i64) {
        let mut ticks = tokio::time::interval(COMMITS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.commit(partition, committed).await;
        }
    }

    /// Notes what is done, while the lease surely runs. A commit that comes too late all the same only
    /// makes pushes come twice.
    async fn commit(&self, partition: &Partition, committed: &mut i64) {
        let next = partition.next();
        if next == *committed || Instant::now() >= *self.until.borrow() {
            return;
        }
        let Ground {
            consumer, shared, ..
        } = &*self.ground;
        match consumer
            .commit(shared.topics.push(), &[(self.number, next)])
            .await
        {
            Ok(()) => *committed = next,
            Err(error) => {
                shared.metrics.commit_failures.inc();
                let partition = self.number;
                tracing::warn!(partition, %error, "the offset of pushes was not committed");
            }
        }
    }
}
