//! Reads the homes that nobody owns and that are this gateway's to read (I8): as long as a route leads
//! to such a home records come to it, and somebody answers for them.
//!
//! Which ones these are follows from the table of homes ([`View::stewarded_by`]); each gateway has the
//! whole of it with each heartbeat. They are read by one consumer, which is not the one of the own
//! home: that one has to be fast, and would name them all in each fetch (trap 19).

mod home;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use protocol::Home;
use routing::decide::View;
use routing::since_boot;
use service::kafka::{Consumer, KafkaError, Producer, Publish, Start, Topics};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::handover::{Handover, Tables, Whereabouts};
use crate::metrics::Observed;
use home::{COMMIT_EVERY, Ended, Reader};

/// How long Kafka may take to say where a home begins, and how far it is committed.
const ASK_WITHIN: Duration = Duration::from_secs(5);
/// How long the table may be silent before it is looked at once more: the own lease may have ended.
const SILENCE: Duration = Duration::from_millis(500);
/// How long a fetch of these homes waits for records. They have few, and what comes is for people who
/// are away, or have caught up by themselves.
pub const FETCH_WAIT: Duration = Duration::from_millis(500);

/// The task that stewards.
pub struct Stewards<R = Tables, P = Producer> {
    /// This gateway's name, as it stands in the table.
    pub name: String,
    /// The table, as the keeper read it last.
    pub views: watch::Receiver<Option<Arc<View>>>,
    /// Reads the homes; nobody else's.
    pub consumer: Consumer,
    /// The topics' names.
    pub topics: Topics,
    /// Where everything goes that is read.
    pub handover: Arc<Handover<R, P>>,
    /// Metrics.
    pub observed: Arc<Observed>,
    /// Ends the task.
    pub stop: CancellationToken,
}

/// A home that is read.
struct Reading {
    stop: CancellationToken,
    task: JoinHandle<Ended>,
}

impl<R: Whereabouts + 'static, P: Publish + 'static> Stewards<R, P> {
    /// Reads what is to be read until stopped.
    ///
    /// # Errors
    /// [`JoinError`] when a reader panicked.
    pub async fn run(mut self) -> Result<(), JoinError> {
        let mut reading: BTreeMap<Home, Reading> = BTreeMap::new();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                changed = tokio::time::timeout(SILENCE, self.views.changed()) => {
                    // Nobody keeps the home any more: the gateway stops.
                    if let Ok(Err(_)) = changed {
                        break;
                    }
                }
            }
            let view = self.views.borrow_and_update().clone();
            let wanted =
                view.map_or_else(Vec::new, |view| view.stewarded_by(&self.name, since_boot()));
            self.follow(&mut reading, &wanted).await?;
        }
        for (home, Reading { stop, task }) in reading {
            stop.cancel();
            if let Err(error) = task.await? {
                tracing::debug!(%home, %error, "a stewarded home");
            }
        }
        Ok(())
    }

    /// Reads what is wanted and nothing else. One that has ended by itself, because Kafka could not be
    /// asked, is begun anew with the next look.
    async fn follow(
        &self,
        reading: &mut BTreeMap<Home, Reading>,
        wanted: &[Home],
    ) -> Result<(), JoinError> {
        let ended = reading.extract_if(.., |_, reading| reading.task.is_finished());
        for (home, Reading { task, .. }) in ended.collect::<Vec<_>>() {
            match task.await? {
                Ok(()) => tracing::info!(%home, "home no longer stewarded"),
                Err(error) => tracing::warn!(%home, %error, "a stewarded home can't be read"),
            }
        }
        for (home, reading) in &*reading {
            if !wanted.contains(home) {
                reading.stop.cancel();
            }
        }
        for home in wanted {
            // One that is about to end is waited for.
            if !reading.contains_key(home) {
                reading.insert(*home, self.read(*home));
            }
        }
        let count = reading.len();
        self.observed
            .stewarded_homes
            .set(i64::try_from(count).unwrap_or(i64::MAX));
        Ok(())
    }

    fn read(&self, home: Home) -> Reading {
        let stop = self.stop.child_token();
        let offsets = Offsets {
            consumer: self.consumer.clone(),
            topic: Arc::clone(self.topics.receive()),
            home,
        };
        let (handover, observed) = (Arc::clone(&self.handover), Arc::clone(&self.observed));
        let (name, views) = (self.name.clone(), self.views.clone());
        // Who could not renew for a lease commits nothing.
        let may_commit = move || {
            let view = views.borrow().clone();
            view.is_some_and(|view| view.is_live(&name, since_boot()))
        };
        let ending = stop.clone();
        let task = tokio::spawn(async move {
            let start = tokio::select! {
                () = ending.cancelled() => return Ok(()),
                start = offsets.start() => start?,
            };
            tracing::info!(%home, ?start, "home stewarded");
            let feed = offsets
                .consumer
                .add(&offsets.topic, home.0, start.offset())?;
            let reader = Reader {
                feed,
                commit: Box::new(move |next| offsets.clone().commit(next).boxed()),
                commit_every: COMMIT_EVERY,
                handover,
                observed,
                may_commit: Box::new(may_commit),
                stop: ending,
            };
            reader.run().await
        });
        Reading { stop, task }
    }
}

/// The committed offset of one home.
#[derive(Clone)]
struct Offsets {
    consumer: Consumer,
    topic: Arc<str>,
    home: Home,
}

impl Offsets {
    async fn committed(&self) -> Result<Option<i64>, KafkaError> {
        let home = self.home.0;
        self.consumer.committed(&self.topic, home, ASK_WITHIN).await
    }

    /// Where the last reader stopped, else the first record there is (trap 7).
    async fn start(&self) -> Result<Start, KafkaError> {
        let start = self
            .consumer
            .start_of(&self.topic, self.home.0, ASK_WITHIN)
            .await?;
        if let Start::Beyond { at, .. } = start {
            // That offset is of another log: commits would be behind it for ever.
            self.consumer
                .commit(&self.topic, &[(self.home.0, at)])
                .await?;
        }
        Ok(start)
    }

    /// Never backwards: the owner may have returned, and be further.
    async fn commit(self, next: i64) -> Result<(), KafkaError> {
        if self.committed().await?.is_some_and(|there| there >= next) {
            return Ok(());
        }
        self.consumer
            .commit(&self.topic, &[(self.home.0, next)])
            .await
    }
}
