//! Reads the home and hands each record to the sessions it is for: the same bytes to all of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::{CloseCode, DeliveryHeaders, Target, UserId};
use service::kafka::{Consumer, FeedError, Incoming, ReadFeed};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Registry, Sessions};
use crate::metrics::Observed;
use crate::socket::{Bound, Item, Mailbox, Pushed};

/// Records taken at once: one lock of the registry for all of them.
const BATCH: usize = 512;

/// How often the offset is committed.
const COMMIT_EVERY: Duration = Duration::from_secs(2);

/// What begins the frame of an eviction: it is for the gateway, not for the client.
const EVICT: &[u8] = br#"{"type":"evict""#;

/// Who reads one home.
pub(super) struct Reader<F> {
    pub(super) feed: F,
    pub(super) consumer: Consumer,
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
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
        let mut commit = tokio::time::interval(COMMIT_EVERY);
        commit.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                _ = commit.tick() => {
                    if next != committed && self.commit(next).await {
                        committed = next;
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
        if next != committed {
            self.commit(next).await;
        }
        Ok(())
    }

    async fn commit(&self, next: Option<i64>) -> bool {
        let Some(next) = next.filter(|_| (self.may_commit)()) else {
            return false;
        };
        match self
            .consumer
            .commit(&self.topic, &[(self.partition, next)])
            .await
        {
            Ok(()) => true,
            Err(error) => {
                self.observed.commit_errors.inc();
                tracing::warn!(%error, "the home's offset was not committed");
                false
            }
        }
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
