//! The append worker: collects what waits in its lanes while its batch before commits, decides it,
//! appends it, and handles every way in which that can fail (docs/architecture.md, "Redelivery").

mod collect;
mod spans;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use protocol::{DlqReason, Lane, RejectCode};
use store::{AppendError, Batch, LaneAdvance, StoreError};
use tokio::sync::{mpsc, oneshot};

use super::backoff::{Backoff, Stopped};
use super::burial::burial;
use super::context::{Context, LEASE};
use super::decide::{Basis, Decided, Tally, decide_batch};
use super::fetch::{Ask, LaneState, fetch};
use super::progress::Progress;
use super::queue::{acknowledged, queue_all};
use super::record::{Content, Received, Refusal, UNSTORABLE};
use super::rooms::Rooms;
use super::route::Committed;
use crate::ports::{Lanes, Ledger, Outside};

const UNREADABLE: Refusal = (
    RejectCode::Unavailable,
    "what is stored of the room can't be read: resend with the same id",
);

/// What the owner tells a worker.
pub enum Order<F> {
    /// Work on this claim from now on.
    Take(Taken<F>),
    /// Work on this lane no more; tell when nothing of it is under way.
    Drop(Lane, oneshot::Sender<()>),
}

/// A claim, ready to be worked on.
pub struct Taken<F> {
    /// Its lane, epoch and how far it is.
    pub progress: Arc<Progress>,
    /// The epoch of this process's claim that it follows, if nobody had the lane between.
    pub follows: Option<i64>,
    /// The lane's records from `routed` + 1.
    pub feed: F,
}

/// A lane that the worker works on.
struct Held<F> {
    progress: Arc<Progress>,
    /// The claim's `applied`: at and below it nothing is decided again.
    decided_before: i64,
    applied: i64,
    rooms: Rooms,
    feed: F,
}

/// A batch whose append was not answered. If it is found to be stored, nobody has counted it (I10).
struct Unanswered {
    /// Of the claim that it was appended under, of one of its lanes.
    epoch: i64,
    /// Where that lane is if it was stored: all of it or nothing is.
    applied: i64,
    tally: Tally,
    buried: Vec<DlqReason>,
}

/// Why a batch was not committed, as what follows.
enum Failed {
    /// These lanes are lost; the others' part is appended again.
    Lanes(Vec<Lane>),
    /// These are all its lanes, lost as well: it may be stored.
    Unknown(Vec<Lane>),
    /// An id is stored that the states do not know.
    IdTaken,
    /// Something in it can't be stored, or what it needs can't be read.
    Poison(DlqReason),
    /// The same again, later.
    Later,
}

/// Part of a batch, and what to ask the store about it.
struct Part {
    records: Vec<Received>,
    ask: Ask,
}

/// One append worker. A lane is always with the same one.
pub struct Worker<O: Outside> {
    context: Arc<Context<O>>,
    orders: mpsc::Receiver<Order<FeedOf<O>>>,
    out: mpsc::Sender<Committed>,
    lanes: BTreeMap<Lane, Held<FeedOf<O>>>,
    /// By one lane of each.
    unanswered: BTreeMap<Lane, Unanswered>,
    /// Where collecting begins, so that a busy lane starves no other.
    turn: usize,
    /// When the next batch may begin.
    next_batch: tokio::time::Instant,
}

type FeedOf<O> = <<O as Outside>::Lanes as Lanes>::Feed;

impl<O: Outside> Worker<O> {
    /// A worker without lanes; what it commits goes to `out`, its router.
    pub fn new(
        context: Arc<Context<O>>,
        orders: mpsc::Receiver<Order<FeedOf<O>>>,
        out: mpsc::Sender<Committed>,
    ) -> Self {
        Self {
            context,
            orders,
            out,
            lanes: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            turn: 0,
            next_batch: tokio::time::Instant::now(),
        }
    }

    /// Works until the owner is gone, or the process stops in the middle of a failure.
    pub async fn run(mut self) {
        while let Ok(records) = self.collect().await {
            if self.commit(records).await.is_err() {
                return;
            }
        }
    }

    fn obey(&mut self, order: Order<FeedOf<O>>) {
        match order {
            Order::Take(Taken {
                progress,
                follows,
                feed,
            }) => {
                let applied = progress.applied();
                if let Some(batch) = self.unanswered.remove(&progress.lane)
                    && follows == Some(batch.epoch)
                    && applied >= batch.applied
                {
                    self.count(batch.tally, &batch.buried);
                }
                let held = Held {
                    decided_before: applied,
                    applied,
                    rooms: Rooms::default(),
                    feed,
                    progress,
                };
                self.lanes.insert(held.progress.lane, held);
            }
            Order::Drop(lane, done) => {
                self.lanes.remove(&lane);
                // Nobody listens when the owner has gone: then nobody needs to know.
                let _ = done.send(());
            }
        }
    }

    /// Counts how the commands of a stored batch ended.
    fn count(&self, tally: Tally, buried: &[DlqReason]) {
        self.context.metrics.count(tally);
        for reason in buried {
            self.context.metrics.dead_letter(*reason);
        }
    }

    /// Ends a claim: its states, its feed and what was read under it are dropped, and the owner
    /// claims the lane anew and reads it again.
    fn lose(&mut self, lane: Lane) {
        if let Some(held) = self.lanes.remove(&lane) {
            self.context.metrics.lanes_lost.inc();
            held.progress.lose();
        }
    }

    /// Commits a batch, in as many parts as it takes. Parts keep the order of each lane.
    async fn commit(&mut self, records: Vec<Received>) -> Result<(), Stopped> {
        let ask = Ask::Needed;
        let mut parts = VecDeque::from([Part { records, ask }]);
        let mut backoff = Backoff::default();
        while let Some(mut part) = parts.pop_front() {
            let lanes = &self.lanes;
            part.records.retain(|record| {
                let held = lanes.get(&record.lane);
                held.is_some_and(|held| held.progress.epoch == record.epoch)
            });
            if part.records.is_empty() {
                continue;
            }
            match self.attempt(&mut part).await {
                Ok(committed) => {
                    backoff = Backoff::default();
                    self.out.send(committed).await.map_err(|_| Stopped)?;
                }
                Err(Failed::Lanes(lost) | Failed::Unknown(lost)) => {
                    lost.into_iter().for_each(|lane| self.lose(lane));
                    parts.push_front(part);
                }
                Err(Failed::IdTaken) if !matches!(part.ask, Ask::All) => {
                    part.ask = Ask::All;
                    parts.push_front(part);
                }
                Err(Failed::IdTaken) => {
                    // Looked up and still taken: the states are not what is stored.
                    lanes_of(&part.records)
                        .into_iter()
                        .for_each(|lane| self.lose(lane));
                }
                Err(Failed::Poison(_)) if part.records.len() > 1 => {
                    let rest = part.records.split_off(part.records.len() / 2);
                    let ask = part.ask.clone();
                    parts.push_front(Part { records: rest, ask });
                    parts.push_front(part);
                }
                Err(Failed::Poison(reason)) => {
                    self.bury(&mut part.records, reason).await?;
                    parts.push_front(part);
                }
                Err(Failed::Later) => {
                    backoff.wait(&self.context.stop).await?;
                    parts.push_front(part);
                }
            }
        }
        Ok(())
    }

    /// Reads what the part needs, decides it, appends it.
    async fn attempt(&mut self, part: &mut Part) -> Result<Committed, Failed> {
        loop {
            let decided = self.decide(part).await?;
            if decided.unsure.is_empty() {
                return self.append(&mut part.records, decided).await;
            }
            // Asked about once: what is asked about is never unsure again.
            part.ask = match std::mem::take(&mut part.ask) {
                Ask::Also(mut keys) => {
                    keys.extend(decided.unsure);
                    Ask::Also(keys)
                }
                Ask::Needed => Ask::Also(decided.unsure.into_iter().collect()),
                Ask::All => Ask::All,
            };
        }
    }

    async fn decide(&mut self, part: &Part) -> Result<Decided, Failed> {
        let involved = lanes_of(&part.records);
        let states: BTreeMap<Lane, LaneState<'_>> = involved
            .iter()
            .filter_map(|lane| {
                let held = self.lanes.get(lane)?;
                let state = LaneState {
                    applied: held.applied,
                    decided_before: held.decided_before,
                    rooms: &held.rooms,
                };
                Some((*lane, state))
            })
            .collect();
        let fetched = fetch(&self.context.ledger, &part.records, &states, &part.ask)
            .await
            .map_err(|error| {
                self.context.metrics.read_failures.inc();
                tracing::warn!(%error, kind = error.label(), "what a batch needs was not read");
                match is_about_data(&error) {
                    true => Failed::Poison(DlqReason::Unreadable),
                    false => Failed::Later,
                }
            })?;
        if !fetched.stale.is_empty() {
            tracing::warn!(lanes = ?fetched.stale, "somebody else has written these lanes");
            return Err(Failed::Lanes(fetched.stale));
        }
        let decided_before = states
            .iter()
            .map(|(lane, state)| (*lane, state.decided_before))
            .collect();
        let basis = Basis {
            rooms: fetched.rooms,
            found: &fetched.found,
            decided_before: &decided_before,
            rules: self.context.rules,
            topic: self.context.topics.send(),
        };
        Ok(decide_batch(&part.records, basis))
    }

    async fn append(
        &mut self,
        records: &mut [Received],
        mut decided: Decided,
    ) -> Result<Committed, Failed> {
        let batch = self.batch(&mut decided);
        let events = match batch.lanes.is_empty() {
            // Nothing but redelivered records: nothing is written, nothing needs the fence.
            true => Vec::new(),
            false => match self.write(batch, records).await {
                Ok(events) => events,
                Err(failed) => {
                    if matches!(failed, Failed::Unknown(_)) {
                        self.note_unanswered(decided);
                    }
                    return Err(failed);
                }
            },
        };
        for (lane, applied) in &decided.applied {
            if let Some(held) = self.lanes.get_mut(lane) {
                held.applied = *applied;
                held.progress.appended(*applied);
            }
        }
        for room in decided.rooms.into_values() {
            let lane = protocol::lane_of(room.id, self.context.lanes);
            if let Some(held) = self.lanes.get_mut(&lane) {
                held.rooms.put(room);
            }
        }
        self.count(decided.tally, &decided.buried);
        let mut upto: BTreeMap<Lane, i64> = BTreeMap::new();
        for record in &*records {
            upto.insert(record.lane, record.offset());
        }
        let upto = upto
            .into_iter()
            .filter_map(|(lane, offset)| {
                let held = self.lanes.get(&lane)?;
                Some((Arc::clone(&held.progress), offset))
            })
            .collect();
        Ok(Committed {
            at: Instant::now(),
            events,
            steps: decided.steps,
            upto,
            traced: spans::traced(decided.traced, records),
        })
    }

    fn note_unanswered(&mut self, decided: Decided) {
        let Some((lane, applied)) = decided.applied.first_key_value() else {
            return;
        };
        if let Some(held) = self.lanes.get(lane) {
            let batch = Unanswered {
                epoch: held.progress.epoch,
                applied: *applied,
                tally: decided.tally,
                buried: decided.buried,
            };
            self.unanswered.insert(*lane, batch);
        }
    }

    fn batch(&self, decided: &mut Decided) -> Batch {
        let lanes = decided.applied.iter().filter_map(|(lane, applied)| {
            let held = self.lanes.get(lane)?;
            Some(LaneAdvance {
                lane: *lane,
                epoch: held.progress.epoch,
                expected_applied: held.applied,
                applied: *applied,
                routed: held.progress.routed().min(held.applied),
            })
        });
        Batch {
            owner: self.context.name.clone(),
            lease: LEASE,
            lanes: lanes.collect(),
            events: std::mem::take(&mut decided.events),
            opened: std::mem::take(&mut decided.opened),
            closed: std::mem::take(&mut decided.closed),
            roles: std::mem::take(&mut decided.roles),
        }
    }

    /// One append; gives the events back.
    async fn write(
        &mut self,
        batch: Batch,
        records: &[Received],
    ) -> Result<Vec<protocol::Event>, Failed> {
        let mut under_way: Vec<Arc<Progress>> = Vec::with_capacity(batch.lanes.len());
        for advance in &batch.lanes {
            if let Some(held) = self.lanes.get(&advance.lane) {
                held.progress.appending(advance.applied);
                under_way.push(Arc::clone(&held.progress));
            }
        }
        let metrics = &self.context.metrics;
        let (started, spans) = (Instant::now(), spans::appends(records));
        let result = self.context.ledger.append(&batch).await;
        spans::appended(spans, records.len(), &result);
        metrics
            .append_seconds
            .observe(started.elapsed().as_secs_f64());
        let error = match result {
            Ok(()) => {
                #[expect(clippy::cast_precision_loss, reason = "a batch is a few hundred rows")]
                metrics.append_rows.observe(records.len() as f64);
                return Ok(batch.events);
            }
            Err(error) => error,
        };
        metrics
            .append_failures
            .with_label_values(&[error.label()])
            .inc();
        tracing::warn!(%error, rows = records.len(), "an append failed");
        let all = || batch.lanes.iter().map(|advance| advance.lane).collect();
        if !matches!(error, AppendError::Unknown(_)) {
            under_way
                .iter()
                .for_each(|progress| progress.not_appended());
        }
        Err(match error {
            AppendError::Fenced(lanes) if lanes.is_empty() => Failed::Lanes(all()),
            AppendError::Fenced(lanes) => Failed::Lanes(lanes),
            AppendError::SeqTaken(_) => Failed::Lanes(all()),
            AppendError::Unknown(_) => Failed::Unknown(all()),
            AppendError::IdTaken => Failed::IdTaken,
            AppendError::BadData { .. } => Failed::Poison(DlqReason::BadData),
            AppendError::Unavailable(_) => Failed::Later,
        })
    }

    /// Sends the one record that can't be processed to `chat-dlq`, *before* `applied` moves past it:
    /// redelivered after that, it would only be answered.
    async fn bury(&mut self, records: &mut [Received], reason: DlqReason) -> Result<(), Stopped> {
        let refusal = match reason {
            // It may be stored: what is unknown is never called rejected for good (trap 1).
            DlqReason::Unreadable => UNREADABLE,
            _ => UNSTORABLE,
        };
        let mut backoff = Backoff::default();
        for record in records {
            let Content::Command(command) = &record.content else {
                // Nothing of it is stored, so nothing of it can be bad: start over.
                self.lose(record.lane);
                backoff.wait(&self.context.stop).await?;
                continue;
            };
            let topic = self.context.topics.send();
            let letter = burial(topic, record.lane, &record.raw, reason);
            let queued = queue_all(&self.context, [letter]).await?;
            acknowledged(&self.context, queued).await?;
            self.context.metrics.dead_letter(reason);
            record.content = Content::Buried(command.clone(), refusal);
        }
        Ok(())
    }
}

/// Whether a read failed for what it was about. All else is about the server: a permission that is
/// missing says nothing about the commands, and would bury them all (trap 12).
pub(crate) fn is_about_data(error: &StoreError) -> bool {
    match error {
        StoreError::Corrupt(_) => true,
        StoreError::Refused { sqlstate, .. } => {
            sqlstate.starts_with("22") || sqlstate.starts_with("23")
        }
        _ => false,
    }
}

fn lanes_of(records: &[Received]) -> Vec<Lane> {
    let mut lanes: Vec<Lane> = records.iter().map(|record| record.lane).collect();
    lanes.sort_unstable();
    lanes.dedup();
    lanes
}
