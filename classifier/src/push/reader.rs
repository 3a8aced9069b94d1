//! Reads one partition: waits, looks once more, reminds the homes of those who are back, and hands on
//! what is still to be told.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use protocol::{DlqReason, Home, PushRecord, UserId};
use service::clock::Clock;
use service::kafka::{FeedError, Incoming, ReadFeed};
use service::trace::Span;
use tokio::sync::mpsc;

use super::connected::reminders;
use super::done::Partition;
use super::shared::Shared;
use super::tenure::Ground;
use super::told::Item;
use crate::pipeline::backoff::Stopped;
use crate::ports::{Publish, Routes};

/// Records whose users are looked up together.
const TOGETHER: usize = 500;
/// Pushes of users of whom nothing is known now; with so many, nothing more is read.
const MOST_UNKNOWN: usize = 4 * TOGETHER;
/// Between two look-ups of these.
const PAUSE: Duration = Duration::from_millis(200);

/// The reader of one partition.
pub(super) struct Reader<'a, F, R, P> {
    feed: F,
    partition: &'a Arc<Partition>,
    routes: &'a R,
    homes: i32,
    shared: &'a Shared<P>,
    clock: &'a Clock,
    wait: Duration,
    to: &'a mpsc::Sender<(UserId, Item)>,
    /// Read, and not due yet.
    ahead: Option<Incoming>,
    /// Of users who may be connected or not: asked for again until it is known, in their order.
    unknown: Vec<Push>,
}

/// A record that can be told.
struct Push {
    record: PushRecord,
    raw: Incoming,
    /// If it is traced, from here to its end.
    span: Option<Span>,
}

/// Where those users are of whom it is known; nowhere: no home.
type Whereabouts = HashMap<UserId, Vec<Home>>;

impl<'a, F, R, P> Reader<'a, F, R, P> {
    pub(super) fn new(
        ground: &'a Ground<R, P>,
        feed: F,
        partition: &'a Arc<Partition>,
        to: &'a mpsc::Sender<(UserId, Item)>,
    ) -> Self {
        Self {
            feed,
            partition,
            routes: &ground.routes,
            homes: ground.homes,
            shared: &ground.shared,
            clock: &ground.clock,
            wait: ground.wait,
            to,
            ahead: None,
            unknown: Vec::new(),
        }
    }
}

impl<F: ReadFeed, R: Routes, P: Publish> Reader<'_, F, R, P> {
    /// Reads until it is dropped, the partition can't be read any more, or nobody tells any more.
    /// Whatever is dropped here is not done, and is read again.
    pub(super) async fn run(mut self) -> Result<(), FeedError> {
        loop {
            let records = self.due().await?;
            if self.hand_on(records).await.is_err() {
                return Ok(());
            }
        }
    }

    /// The next records whose time has come; nothing when it is time to ask for those of whom nothing
    /// was known.
    async fn due(&mut self) -> Result<Vec<Incoming>, FeedError> {
        if self.unknown.is_empty() {
            self.partition.in_reach().await;
        } else if self.unknown.len() >= MOST_UNKNOWN || !self.partition.is_in_reach() {
            // What holds up reading may be just these.
            tokio::time::sleep(PAUSE).await;
            return Ok(Vec::new());
        }
        let Some(first) = self.next().await? else {
            return Ok(Vec::new());
        };
        // In the order of their times, but for clocks: so this waits for the others, too.
        tokio::time::sleep(self.due_in(&first)).await;
        let mut records = vec![first];
        while records.len() < TOGETHER {
            match self.feed.try_recv() {
                Ok(Some(record)) if self.due_in(&record).is_zero() => records.push(record),
                Ok(Some(record)) => {
                    self.ahead = Some(record);
                    break;
                }
                Ok(None) => break,
                Err(error) => passing(error)?,
            }
        }
        Ok(records)
    }

    async fn next(&mut self) -> Result<Option<Incoming>, FeedError> {
        if let Some(record) = self.ahead.take() {
            return Ok(Some(record));
        }
        loop {
            let come = match self.unknown.is_empty() {
                true => self.feed.recv().await,
                false => match tokio::time::timeout(PAUSE, self.feed.recv()).await {
                    Ok(come) => come,
                    Err(_elapsed) => return Ok(None),
                },
            };
            match come {
                Ok(record) => return Ok(Some(record)),
                Err(error) => passing(error)?,
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

    async fn hand_on(&mut self, records: Vec<Incoming>) -> Result<(), Stopped> {
        let mut pushes = std::mem::take(&mut self.unknown);
        for raw in records {
            self.partition.take(raw.offset, raw.timestamp_ms);
            match PushRecord::decode(raw.key.as_deref(), raw.payload.as_deref()) {
                Some(record) => {
                    let span = self.shared.reads.begin(&raw);
                    pushes.push(Push { record, raw, span });
                }
                None => {
                    let reason = DlqReason::Undecodable;
                    self.shared.bury(self.partition, &raw, reason).await?;
                    self.end(&raw, "undecodable", None);
                }
            }
        }
        let whereabouts = self.look_up(&pushes).await;
        let (mut absent, mut connected) = (Vec::new(), Vec::new());
        for push in pushes {
            match whereabouts.get(&push.record.user).map(Vec::as_slice) {
                None => self.unknown.push(push),
                Some([]) => absent.push(push),
                Some(_) => connected.push(push),
            }
        }
        self.remind(connected, &whereabouts).await?;
        self.tell(absent).await
    }

    /// Where users are, of those of whom anything is known: nobody is pushed who only can't be seen.
    async fn look_up(&self, pushes: &[Push]) -> Whereabouts {
        let users: BTreeSet<UserId> = pushes.iter().map(|push| push.record.user).collect();
        let users: Vec<UserId> = users.into_iter().collect();
        if users.is_empty() {
            return Whereabouts::new();
        }
        let found = self.routes.homes(&users).await;
        if let Some(error) = &found.failure {
            self.shared.metrics.route_failures.inc();
            tracing::warn!(%error, users = users.len(), "pushes wait for routes");
        }
        let mut known = found.known;
        let exists = |home: &Home| (1..=self.homes).contains(&home.0);
        known.values_mut().for_each(|homes| homes.retain(exists));
        known
    }

    /// Those who are back are their homes' from here on.
    async fn remind(&self, connected: Vec<Push>, known: &Whereabouts) -> Result<(), Stopped> {
        let homes = |push: &Push| known.get(&push.record.user).map_or(&[][..], Vec::as_slice);
        let records = reminders(connected.iter().map(|push| (&push.record, homes(push))));
        self.shared.send(records, &self.partition.over).await?;
        for push in connected {
            self.end(&push.raw, "connected", push.span);
        }
        Ok(())
    }

    async fn tell(&self, absent: Vec<Push>) -> Result<(), Stopped> {
        for Push { record, raw, span } in absent {
            let (user, partition) = (record.user, Arc::clone(self.partition));
            let item = Item {
                record,
                raw,
                span,
                partition,
            };
            let sent = self.to.send((user, item)).await;
            sent.map_err(|_gone| Stopped)?;
        }
        Ok(())
    }

    fn end(&self, raw: &Incoming, outcome: &str, span: Option<Span>) {
        let offset = raw.offset;
        self.shared.end(self.partition, offset, outcome, span);
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

#[cfg(test)]
mod tests;
