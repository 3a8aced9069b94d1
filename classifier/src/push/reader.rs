//! Reads one partition: waits, looks once more, and hands on what is still to be told.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use protocol::{DlqReason, Home, PushRecord, UserId};
use service::clock::Clock;
use service::kafka::{FeedError, Incoming, ReadFeed};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::done::Partition;
use super::{Item, Shared};
use crate::pipeline::backoff::{Backoff, Stopped};
use crate::ports::{Publish, Routes};

/// Records whose users are looked up together.
const TOGETHER: usize = 500;

/// The reader of one partition.
pub(super) struct Reader<F, R, P> {
    pub(super) feed: F,
    pub(super) partition: Arc<Partition>,
    pub(super) routes: R,
    /// There are homes from 1 to this one: a route to another is none.
    pub(super) homes: i32,
    pub(super) shared: Arc<Shared<P>>,
    pub(super) clock: Clock,
    /// From the record's time to the last look.
    pub(super) wait: Duration,
    /// Bounded: when it is full, records wait in Kafka.
    pub(super) to: mpsc::Sender<Item>,
    pub(super) stop: CancellationToken,
}

/// A record that can be told.
struct Push {
    record: PushRecord,
    raw: Incoming,
}

impl<F: ReadFeed, R: Routes, P: Publish> Reader<F, R, P> {
    /// Reads until the process stops, or the partition can't be read any more.
    pub(super) async fn run(mut self) -> Result<(), FeedError> {
        let stop = self.stop.clone();
        // Whatever is dropped here is not done, and is read again.
        tokio::select! {
            biased;
            () = stop.cancelled() => Ok(()),
            ended = self.read() => ended,
        }
    }

    async fn read(&mut self) -> Result<(), FeedError> {
        let mut ahead = None;
        loop {
            self.partition.in_reach().await;
            let first = match ahead.take() {
                Some(record) => record,
                None => match self.feed.recv().await {
                    Ok(record) => record,
                    Err(error) => {
                        passing(error)?;
                        continue;
                    }
                },
            };
            // In the order of their times, but for clocks: so this waits for the others, too.
            tokio::time::sleep(self.due_in(&first)).await;
            let mut records = vec![first];
            while records.len() < TOGETHER {
                match self.feed.try_recv() {
                    Ok(Some(record)) if self.due_in(&record).is_zero() => records.push(record),
                    Ok(Some(record)) => {
                        ahead = Some(record);
                        break;
                    }
                    Ok(None) => break,
                    Err(error) => passing(error)?,
                }
            }
            if self.hand_on(records).await.is_err() {
                return Ok(());
            }
        }
    }

    /// How long to wait for a record's user to come back. No clock that is wrong makes it longer
    /// than the setting.
    fn due_in(&self, record: &Incoming) -> Duration {
        let age = self.clock.wall_ms().saturating_sub(record.timestamp_ms);
        let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
        self.wait.saturating_sub(age)
    }

    async fn hand_on(&self, records: Vec<Incoming>) -> Result<(), Stopped> {
        let mut pushes = Vec::with_capacity(records.len());
        for raw in records {
            self.partition.take(raw.offset);
            match decode(&raw) {
                Some(record) => pushes.push(Push { record, raw }),
                None => {
                    let number = self.partition.number;
                    let reason = DlqReason::Undecodable;
                    self.shared.bury(number, &raw, reason).await?;
                    self.shared.metrics.ended("undecodable");
                    self.partition.end(raw.offset);
                }
            }
        }
        let connected = self.connected(&pushes).await?;
        for Push { record, raw } in pushes {
            if connected.contains(&record.user) {
                // The session that is there has caught up, or will (I4).
                self.shared.metrics.ended("connected");
                self.partition.end(raw.offset);
                continue;
            }
            let partition = Arc::clone(&self.partition);
            let item = Item {
                record,
                raw,
                partition,
            };
            self.to.send(item).await.map_err(|_gone| Stopped)?;
        }
        Ok(())
    }

    /// Who has come back. Of whom nothing is known it is asked again until something is: nobody is
    /// pushed who only can't be seen.
    async fn connected(&self, pushes: &[Push]) -> Result<HashSet<UserId>, Stopped> {
        let users: HashSet<UserId> = pushes.iter().map(|push| push.record.user).collect();
        let mut users: Vec<UserId> = users.into_iter().collect();
        let mut connected = HashSet::new();
        let mut backoff = Backoff::default();
        while !users.is_empty() {
            let found = self.routes.homes(&users).await;
            if let Some(error) = &found.failure {
                self.shared.metrics.route_failures.inc();
                tracing::warn!(%error, users = users.len(), "pushes wait for routes");
            }
            users.retain(|user| found.of(*user).is_none());
            let exists = |home: &Home| (1..=self.homes).contains(&home.0);
            let known = found.known.into_iter();
            let somewhere = known.filter(|(_, homes)| homes.iter().any(exists));
            connected.extend(somewhere.map(|(user, _)| user));
            if !users.is_empty() {
                backoff.wait(&self.stop).await?;
            }
        }
        Ok(connected)
    }
}

/// Trouble that passes is only told; the other ends the reader.
fn passing(error: FeedError) -> Result<(), FeedError> {
    match error {
        FeedError::Other(reason) => {
            tracing::warn!(reason, "chat-push can't be read for now");
            Ok(())
        }
        error => Err(error),
    }
}

fn decode(raw: &Incoming) -> Option<PushRecord> {
    PushRecord::decode(raw.key.as_deref(), raw.payload.as_deref())
}
