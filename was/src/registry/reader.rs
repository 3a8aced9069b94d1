//! Reads the home and hands each record to the sessions it is for: the same bytes to all of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Fuse, FusedFuture as _};
use protocol::{CloseCode, DeliveryHeaders, Target, UserId};
use service::kafka::{FeedError, Incoming, KafkaError, ReadFeed};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Registry, Sessions};
use crate::metrics::Observed;
use crate::socket::{Bound, Item, Mailbox, Pushed};

/// Records taken at once: one lock of the registry for all of them.
const BATCH: usize = 512;

/// How often the offset is committed.
const COMMIT_EVERY: Duration = Duration::from_secs(2);
/// How long the last commits may take: what is not committed is read again, and dropped as seen.
const COMMIT_WITHIN: Duration = Duration::from_secs(2);

/// What begins the frame of an eviction: it is for the gateway, not for the client.
const EVICT: &[u8] = br#"{"type":"evict""#;

/// Commits where to read next.
pub(super) type Commit =
    Box<dyn Fn(i64) -> BoxFuture<'static, Result<(), KafkaError>> + Send + Sync>;

/// Who reads one home.
pub(super) struct Reader<F> {
    pub(super) feed: F,
    pub(super) commit: Commit,
    pub(super) registry: Arc<Registry>,
    pub(super) observed: Arc<Observed>,
    pub(super) bound: Bound,
    /// Users with a route to here and no session here; bounded, what does not fit is forgotten
    /// (their next record names them again).
    pub(super) dead: mpsc::Sender<UserId>,
    /// Asked before each commit: only who still holds the home may commit for it.
    pub(super) may_commit: Box<dyn Fn() -> bool + Send + Sync>,
    pub(super) stop: CancellationToken,
}

impl<F: ReadFeed> Reader<F> {
    /// Reads until stopped; commits what was queued or dropped.
    pub(super) async fn run(mut self) -> Result<(), FeedError> {
        let mut batch = Vec::with_capacity(BATCH);
        let mut next = None;
        let mut committed = None;
        let mut due = tokio::time::interval(COMMIT_EVERY);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // One at a time, and never waited for: it takes seconds when its broker has gone.
        let mut commit: Fuse<BoxFuture<'static, Option<i64>>> = Fuse::terminated();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                done = &mut commit => {
                    committed = done.or(committed);
                    continue;
                }
                _ = due.tick() => {
                    if next != committed && commit.is_terminated() {
                        commit = self.commit(next).fuse();
                    }
                    continue;
                }
                first = self.feed.recv() => match first {
                    Ok(record) => batch.push(record),
                    Err(FeedError::Other(error)) => {
                        tracing::debug!(error, "home");
                        continue;
                    }
                    Err(FeedError::Removed) => break,
                    Err(error) => return Err(error),
                },
            }
            while batch.len() < BATCH
                && let Ok(Some(record)) = self.feed.try_recv()
            {
                batch.push(record);
            }
            next = batch.last().map(|record| record.offset + 1);
            self.dispatch(&mut batch);
        }
        let last = async {
            if !commit.is_terminated() {
                committed = commit.await.or(committed);
            }
            if next != committed {
                self.commit(next).await;
            }
        };
        if tokio::time::timeout(COMMIT_WITHIN, last).await.is_err() {
            self.observed.commit_errors.inc();
            tracing::warn!("the home's last offset was not committed in time");
        }
        Ok(())
    }

    /// Commits `next`, and says what is committed then.
    fn commit(&self, next: Option<i64>) -> BoxFuture<'static, Option<i64>> {
        let Some(next) = next.filter(|_| (self.may_commit)()) else {
            return std::future::ready(None).boxed();
        };
        let (done, observed) = ((self.commit)(next), Arc::clone(&self.observed));
        async move {
            done.await
                .inspect_err(|error| {
                    observed.commit_errors.inc();
                    tracing::warn!(%error, "the home's offset was not committed");
                })
                .ok()
                .map(|()| next)
        }
        .boxed()
    }

    fn dispatch(&self, batch: &mut Vec<Incoming>) {
        self.observed.records.inc_by(batch.len() as u64);
        let sessions = self.registry.read();
        for record in batch.drain(..) {
            let headers = match DeliveryHeaders::decode(record.header_slices()) {
                Ok(headers) => headers,
                Err(error) => {
                    self.observed.unreadable.inc();
                    tracing::warn!(offset = record.offset, %error, "unreadable record");
                    continue;
                }
            };
            let frame = record.payload.unwrap_or_default();
            match &headers.target {
                Target::Users(users) => {
                    for &user in users {
                        self.to_user(&sessions, user, &headers, &frame);
                    }
                }
                &Target::Session(address) => match sessions.addresses.get(&address) {
                    Some(mailbox) if frame.starts_with(EVICT) => {
                        mailbox.push(Item::End(CloseCode::Replaced), self.bound);
                    }
                    Some(mailbox) => self.push(mailbox, Item::Direct(frame)),
                    None => {
                        if !self.registry.answer_request(address, frame) {
                            self.observed.unclaimed.inc();
                        }
                    }
                },
            }
        }
    }

    fn to_user(&self, sessions: &Sessions, user: UserId, headers: &DeliveryHeaders, frame: &Bytes) {
        let Some(slots) = sessions.users.get(&user) else {
            self.observed.deliveries.absent.inc();
            if !headers.blind {
                // Full: the user's next record names it again.
                let _ = self.dead.try_send(user);
            }
            return;
        };
        for slot in slots {
            let frame = frame.clone();
            let item = match (headers.room, headers.seq) {
                (Some(room), Some(seq)) => Item::Live { room, seq, frame },
                _ => Item::Signal(frame),
            };
            self.push(&slot.mailbox, item);
        }
    }

    fn push(&self, mailbox: &Mailbox, item: Item) {
        if mailbox.push(item, self.bound) != Pushed::Queued {
            self.observed.deliveries.ended.inc();
        }
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
