//! Between the producer and librdkafka: holds back what librdkafka could not send yet.
//!
//! An idempotent librdkafka (2.12) sends nothing more for a partition of which five *records* are not
//! acknowledged: `rd_kafka_toppar_producer_serve` takes `rktp_msgs_inflight`, a count of records, from
//! `RD_KAFKA_IDEMP_MAX_INFLIGHT`, which means requests. But before it looks at that,
//! `rd_kafka_msgq_allow_wakeup_at` has said that the partition's queue is to be served *now*, as its
//! first record has lingered long enough. So while both are true, five unacknowledged and one waiting,
//! the broker's thread polls with a timeout of 0, without a pause: 2,800 times a second were seen where
//! 13 records a second were sent, and it was most of the process's processor time.
//!
//! So the one that waits is never librdkafka's. What comes while the first of a burst lingers goes with
//! it, as one request. After that a partition has at most four records under way; the next wait here
//! until they fit, or until nothing is under way, and then go together. What it costs: librdkafka would
//! have sent them once less than five were under way, and they linger once more.
//!
//! Only records for a named partition are held. Which one a key belongs to is librdkafka's to say, when
//! it has the record; and keys spread over all partitions of a topic, so five under way in one are rare.

mod line;
mod lines;
mod room;
#[cfg(test)]
mod tests;
mod ticket;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::delivery::Fate;
use super::{Delivery, Outgoing, ProduceError};
use line::{Line, Waiting};
use lines::{Lines, Place};
use room::Room;
pub(super) use room::{MOST_BYTES, MOST_RECORDS};
use ticket::{Held, Lost};
pub(super) use ticket::{Onward, Ticket};

/// One producer's gate.
pub(super) struct Gate {
    /// How long a record waits here at most.
    patience: Duration,
    lines: Lines<Held>,
    room: Room,
    waiting: AtomicUsize,
    fatal: OnceLock<String>,
}

impl Gate {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            patience,
            lines: Lines::default(),
            room: Room::default(),
            waiting: AtomicUsize::new(0),
            fatal: OnceLock::new(),
        }
    }

    /// Records without a fate, here and there.
    pub(super) fn in_flight(&self) -> usize {
        self.room.records()
    }

    /// Their bytes.
    pub(super) fn bytes_in_flight(&self) -> usize {
        self.room.bytes()
    }

    /// Hands a record over, or keeps it until it may go.
    pub(super) fn send(
        &self,
        record: &Outgoing,
        now: Instant,
        onward: &impl Onward,
    ) -> Result<Delivery, ProduceError> {
        let bytes = record.size();
        self.room.take(bytes)?;
        let (sender, delivery) = Delivery::pair();
        let line = record.partition.map(|at| self.lines.of(&record.topic, at));
        // Held while the record is handed over, so that no other of its partition overtakes it.
        let mut open = line.as_deref().map(Place::lock);
        if let Some(open) = &mut open
            && !open.enter(bytes, now)
        {
            // Known here, or `fail` finds the record: both are under this lock.
            if let Some(reason) = self.fatal.get() {
                self.room.give(bytes);
                return Err(ProduceError::Fatal(reason.clone()));
            }
            let (record, since) = (record.clone(), now);
            let item = Held { record, sender };
            open.wait(Waiting { item, bytes, since });
            self.waiting.fetch_add(1, Relaxed);
            return Ok(delivery);
        }
        let ticket = Ticket::new(sender, bytes, line.as_ref());
        match onward.hand_over(record, ticket) {
            Ok(()) => Ok(delivery),
            Err((error, _)) => {
                if let Some(open) = &mut open {
                    open.leave();
                }
                self.room.give(bytes);
                Err(error)
            }
        }
    }

    /// Tells a record's fate, and lets go who waited for it. `onward` is asked for only then; `None`
    /// says that it ends.
    pub(super) fn tell<O: Onward>(
        &self,
        ticket: Ticket,
        fate: Fate,
        now: Instant,
        onward: impl FnOnce() -> Option<Arc<O>>,
    ) {
        self.room.give(ticket.bytes);
        // Who does not wait does not want to know.
        let _ = ticket.sender.send(fate);
        let Some(line) = ticket.line else { return };
        let mut open = line.lock();
        open.leave();
        if open.due() > 0
            && let Some(onward) = onward()
        {
            let lost = self.let_go(&line, &mut open, now, &*onward);
            drop(open);
            self.give_up(lost);
        }
    }

    /// Gives up what has waited too long, and lets go what for any reason still could. Now and then.
    pub(super) fn tick(&self, now: Instant, onward: &impl Onward) {
        if self.waiting.load(Relaxed) == 0 {
            return;
        }
        for line in self.lines.all() {
            let lost = self.let_go(&line, &mut line.lock(), now, onward);
            self.give_up(lost);
        }
    }

    /// Gives up all that waits, and with a fatal error all that will ever have to.
    pub(super) fn fail(&self, error: &ProduceError) {
        if let ProduceError::Fatal(reason) = error {
            // The first reason is the one: what follows comes of it.
            let _ = self.fatal.set(reason.clone());
        }
        for line in self.lines.all() {
            let waiting = line.lock().give_up();
            let lost = waiting.into_iter().map(|one| Lost::new(one, error.clone()));
            self.give_up(lost);
        }
    }

    /// Hands over what is due, and takes out what is lost: what has waited too long, and what is refused.
    fn let_go(
        &self,
        line: &Arc<Place<Held>>,
        open: &mut Line<Held>,
        now: Instant,
        onward: &impl Onward,
    ) -> Vec<Lost> {
        let late = open.expired(now, self.patience).into_iter();
        let late = late.map(|one| Lost::new(one, ProduceError::TimedOut));
        let mut lost: Vec<Lost> = late.collect();
        // Once, unless nothing of what was due could be handed over.
        while let due @ 1.. = open.due() {
            for _ in 0..due {
                let Some(Waiting { item, bytes, since }) = open.next(now) else {
                    break;
                };
                let Held { record, sender } = item;
                let ticket = Ticket::new(sender, bytes, Some(line));
                let Err((error, ticket)) = onward.hand_over(&record, ticket) else {
                    self.waiting.fetch_sub(1, Relaxed);
                    continue;
                };
                let sender = ticket.sender;
                let item = Held { record, sender };
                let next = Waiting { item, bytes, since };
                if error == ProduceError::Full {
                    // With the next answer, or the next tick.
                    open.put_back(next);
                    return lost;
                }
                open.leave();
                lost.push(Lost::new(next, error));
            }
        }
        lost
    }

    fn give_up(&self, lost: impl IntoIterator<Item = Lost>) {
        for lost in lost {
            self.waiting.fetch_sub(1, Relaxed);
            self.room.give(lost.bytes);
            // Who does not wait does not want to know.
            let _ = lost.sender.send(Err(lost.error));
        }
    }
}
