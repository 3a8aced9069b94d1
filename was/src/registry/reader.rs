//! Reads the home and hands each record to the sessions it is for: the same bytes to all of them.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Fuse, FusedFuture as _};
use protocol::{Address, CloseCode, DeliveryHeaders, RoomId, Seq, Target, UserId};
use service::kafka::{FeedError, Incoming, ReadFeed};
use service::trace::Reads;
use tokio_util::sync::CancellationToken;

use super::keeping::{Keeping, Pace};
use super::{Registry, Sessions};
use crate::custody::{Batch, Capacity, Custody, Orphan, Ticket};
use crate::metrics::Observed;
use crate::reading::{BATCH, COMMIT_WITHIN, Commit, HAND_ON_WITHIN, RECIPIENTS, TOGETHER};
use crate::socket::{Bound, Item, Mailbox, Pushed};

/// What begins the frame of an eviction: it is for the gateway, not for the client.
const EVICT: &[u8] = br#"{"type":"evict""#;

/// Hands orphans on until that is done; false when it never will be.
pub(super) type HandOn = Box<dyn Fn(Vec<Orphan>) -> BoxFuture<'static, bool> + Send + Sync>;

/// A commit under way, and what it commits if it succeeds.
type Committing = Fuse<BoxFuture<'static, Option<i64>>>;
/// A batch under way.
type Handing = Fuse<BoxFuture<'static, Option<Ticket>>>;

/// Who reads one home.
pub(super) struct Reader<F> {
    pub(super) feed: F,
    pub(super) commit: Commit,
    pub(super) hand_on: HandOn,
    pub(super) registry: Arc<Registry>,
    pub(super) observed: Arc<Observed>,
    pub(super) bound: Bound,
    pub(super) capacity: Capacity,
    pub(super) pace: Pace,
    pub(super) reads: Reads,
    /// Asked before each commit: only who still holds the home may commit for it.
    pub(super) may_commit: Box<dyn Fn() -> bool + Send + Sync>,
    pub(super) stop: CancellationToken,
}

impl<F: ReadFeed> Reader<F> {
    /// Reads until stopped; commits what is done with (I8).
    pub(super) async fn run(mut self) -> Result<(), FeedError> {
        let registry = Arc::clone(&self.registry);
        let observed = Arc::clone(&self.observed);
        let mut keeping = Keeping::new(
            registry,
            observed,
            self.bound,
            self.capacity,
            self.pace.full,
        );
        let registry = Arc::clone(&self.registry);
        let mut committed = None;
        let mut due = tokio::time::interval(self.pace.commit);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut turn = tokio::time::interval(self.pace.turn);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // One at a time, and never waited for: it takes seconds when its broker has gone.
        let mut commit: Committing = Fuse::terminated();
        let mut handing: Handing = Fuse::terminated();
        let mut ended = pin!(registry.confirmations.some_ended());
        loop {
            if handing.is_terminated() {
                handing = self.hand_on(&mut keeping);
            }
            tokio::select! {
                () = self.stop.cancelled() => break,
                done = &mut commit => committed = done.or(committed),
                handed = &mut handing => keeping.handed(handed),
                () = &mut ended => {
                    ended.set(registry.confirmations.some_ended());
                    keeping.listen();
                }
                _ = turn.tick() => keeping.turn(),
                _ = due.tick() => {
                    let next = keeping.custody.committable();
                    if next != committed && commit.is_terminated() {
                        commit = self.commit(next).fuse();
                    }
                }
                // At the bound what comes is left in Kafka.
                first = self.feed.recv(), if !keeping.custody.is_full() => match first {
                    Ok(record) => self.take(record, &mut keeping),
                    Err(FeedError::Other(error)) => tracing::debug!(error, "home"),
                    Err(FeedError::Removed) => break,
                    Err(error) => return Err(error),
                },
            }
        }
        self.finish(keeping, handing, commit, committed).await;
        Ok(())
    }

    /// The sessions have ended, or the home is somebody else's.
    async fn finish(
        &self,
        mut keeping: Keeping,
        mut handing: Handing,
        commit: Committing,
        mut committed: Option<i64>,
    ) {
        let rest = async {
            keeping.turn();
            loop {
                if handing.is_terminated() {
                    handing = self.hand_on(&mut keeping);
                }
                if handing.is_terminated() {
                    break;
                }
                keeping.handed((&mut handing).await);
            }
        };
        if (self.may_commit)() && tokio::time::timeout(HAND_ON_WITHIN, rest).await.is_err() {
            tracing::warn!("what the last sessions left is handed on by the home's next reader");
        }
        let last = async {
            if !commit.is_terminated() {
                committed = commit.await.or(committed);
            }
            let next = keeping.custody.committable();
            if next != committed {
                self.commit(next).await;
            }
        };
        if tokio::time::timeout(COMMIT_WITHIN, last).await.is_err() {
            self.observed.commit_failures.inc();
            tracing::warn!("the home's last offset was not committed in time");
        }
    }

    /// Hands on what waits for it, if anything does.
    fn hand_on(&self, keeping: &mut Keeping) -> Handing {
        let Some(Batch { ticket, orphans }) = keeping.custody.take_orphans(TOGETHER) else {
            return Fuse::terminated();
        };
        let done = (self.hand_on)(orphans);
        async move { done.await.then_some(ticket) }.boxed().fuse()
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
                    observed.commit_failures.inc();
                    tracing::warn!(%error, "the home's offset was not committed");
                })
                .ok()
                .map(|()| next)
        }
        .boxed()
    }

    /// Takes the first record and what else waits, as far as it fits.
    fn take(&mut self, first: Incoming, keeping: &mut Keeping) {
        let registry = Arc::clone(&self.registry);
        let sessions = registry.read();
        let (mut next, mut taken, mut recipients) = (Some(first), 0, 0);
        while let Some(record) = next {
            recipients += self.dispatch(record, &sessions, &mut keeping.custody);
            taken += 1;
            // Who enters or leaves waits for the lock meanwhile.
            if taken == BATCH || recipients >= RECIPIENTS || keeping.custody.is_full() {
                break;
            }
            // An error comes once more when it is waited for.
            next = self.feed.try_recv().ok().flatten();
        }
        self.observed.records.inc_by(taken as u64);
    }

    /// Hands a record to whom it is for, and says how many that are.
    fn dispatch(&self, record: Incoming, sessions: &Sessions, custody: &mut Custody) -> usize {
        let offset = record.offset;
        let span = self.reads.begin(&record);
        let headers = match DeliveryHeaders::decode(record.header_slices()) {
            Ok(headers) => headers,
            Err(error) => {
                self.observed.unreadable.inc();
                tracing::warn!(offset, %error, "unreadable record");
                custody.passed(offset);
                return 0;
            }
        };
        let frame = record.payload;
        let recipients = match &headers.target {
            Target::Users(users) => users.len(),
            Target::Session(_) => 1,
        };
        match (headers.target, headers.room, headers.seq) {
            (Target::Users(users), Some(room), Some(seq)) => {
                let event = Event {
                    offset,
                    room,
                    seq,
                    frame,
                };
                self.event(event, users, sessions, custody);
            }
            (Target::Users(users), ..) => {
                self.signal(&users, &frame.unwrap_or_default(), sessions);
                custody.passed(offset);
            }
            (Target::Session(address), ..) => {
                self.answer(address, frame.unwrap_or_default(), sessions);
                custody.passed(offset);
            }
        }
        if let Some(mut span) = span {
            span.note("switchboard.recipients", recipients);
            span.end();
        }
        recipients
    }

    /// An event of a room: each recipient is in custody from here on, with his sessions here, or as
    /// somebody who has none.
    fn event(
        &self,
        event: Event,
        mut users: Vec<UserId>,
        sessions: &Sessions,
        custody: &mut Custody,
    ) {
        let Event {
            offset,
            room,
            seq,
            frame,
        } = event;
        let present = custody.present();
        users.retain(|&user| {
            let Some(slots) = sessions.users.get(&user) else {
                self.observed.deliveries.absent.inc();
                custody.absent(offset, Orphan { user, room, seq });
                return false;
            };
            for slot in slots {
                // Only this reader writes rounds like these.
                if slot.round.load(Ordering::Relaxed) != present.0 {
                    custody.wrote(offset, user, slot.address);
                    slot.round.store(present.0, Ordering::Relaxed);
                }
                let item = Item::Live {
                    room,
                    seq,
                    frame: frame.clone(),
                    round: Some(present),
                };
                self.push(&slot.mailbox, item);
            }
            true
        });
        custody.record(offset, room, seq, users);
    }

    /// A frame without a seq: who is not here does not need it.
    fn signal(&self, users: &[UserId], frame: &Bytes, sessions: &Sessions) {
        for user in users {
            let Some(slots) = sessions.users.get(user) else {
                self.observed.deliveries.absent.inc();
                continue;
            };
            for slot in slots {
                self.push(&slot.mailbox, Item::Signal(frame.clone()));
            }
        }
    }

    fn answer(&self, address: Address, frame: Bytes, sessions: &Sessions) {
        match sessions.addresses.get(&address) {
            Some(mailbox) if frame.starts_with(EVICT) => {
                mailbox.push(Item::End(CloseCode::Replaced), self.bound);
            }
            Some(mailbox) => self.push(mailbox, Item::Direct(frame)),
            None => {
                if !self.registry.answer_request(address, frame) {
                    self.observed.unclaimed.inc();
                }
            }
        }
    }

    fn push(&self, mailbox: &Mailbox, item: Item) {
        if mailbox.push(item, self.bound) != Pushed::Queued {
            self.observed.deliveries.ended.inc();
        }
    }
}

/// A record of a room's log.
struct Event {
    offset: i64,
    room: RoomId,
    seq: Seq,
    /// None in one that says only that the event exists.
    frame: Option<Bytes>,
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
