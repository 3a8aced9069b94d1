//! The records of one partition: how many are under way, and which wait. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Records under way while others come one by one: one less than librdkafka's
/// `RD_KAFKA_IDEMP_MAX_INFLIGHT`, which counts records though it means requests.
pub(super) const UNDER_WAY: usize = 4;

/// Records that go together. To hand them over must take less than the linger of the first, or
/// librdkafka sends it without the last, which it then holds: what the gate is there to prevent.
pub(super) const TOGETHER: usize = 500;

/// Their bytes. Less than librdkafka's `batch.size` of 1,000,000, so that they are one request.
pub(super) const TOGETHER_BYTES: usize = 900_000;

/// How long after the first of them another may join: half of the linger, so that whoever is
/// interrupted just then is still in time.
pub(super) const JOIN: Duration = Duration::from_micros(500);

/// One partition's line.
#[derive(Debug)]
pub(super) struct Line<T> {
    under_way: usize,
    /// What went since nothing was under way.
    together: Option<Together>,
    waiting: VecDeque<Waiting<T>>,
}

#[derive(Debug)]
struct Together {
    since: Instant,
    records: usize,
    bytes: usize,
}

/// A record that waits.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    pub(super) item: T,
    pub(super) bytes: usize,
    pub(super) since: Instant,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self {
            under_way: 0,
            together: None,
            waiting: VecDeque::new(),
        }
    }
}

impl<T> Line<T> {
    /// Whether the record that comes now may go. If so it is under way; if not it is to
    /// [`wait`](Self::wait).
    pub(super) fn enter(&mut self, bytes: usize, now: Instant) -> bool {
        let goes =
            self.waiting.is_empty() && (self.joins(bytes, now) || self.under_way < UNDER_WAY);
        if goes {
            self.go(bytes, now);
        }
        goes
    }

    /// Takes a record behind all others.
    pub(super) fn wait(&mut self, waiting: Waiting<T>) {
        self.waiting.push_back(waiting);
    }

    /// One that was under way is no more.
    pub(super) fn leave(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// How many of those that wait may go now, the first ones: all if that is no more than may be under
    /// way one by one; otherwise as many as fit together, once nothing is under way.
    pub(super) fn due(&self) -> usize {
        let waiting = self.waiting.len();
        if self.under_way + waiting <= UNDER_WAY {
            return waiting;
        }
        if self.under_way > 0 {
            return 0;
        }
        let mut bytes = 0;
        let fits = |waiting: &&Waiting<T>| {
            let first = bytes == 0;
            bytes += waiting.bytes;
            first || bytes <= TOGETHER_BYTES
        };
        self.waiting.iter().take(TOGETHER).take_while(fits).count()
    }

    /// The first of those that wait; it is under way.
    pub(super) fn next(&mut self, now: Instant) -> Option<Waiting<T>> {
        let next = self.waiting.pop_front()?;
        self.go(next.bytes, now);
        self.tidy();
        Some(next)
    }

    /// The one that was taken last could not go after all: it waits again, before all others.
    pub(super) fn put_back(&mut self, waiting: Waiting<T>) {
        self.leave();
        self.waiting.push_front(waiting);
    }

    /// Takes out those that have waited for `patience`. They came in order, so they are the
    /// first ones.
    pub(super) fn expired(&mut self, now: Instant, patience: Duration) -> Vec<Waiting<T>> {
        let late = |waiting: &Waiting<T>| now.saturating_duration_since(waiting.since) >= patience;
        let count = self.waiting.iter().take_while(|one| late(one)).count();
        let expired = self.waiting.drain(..count).collect();
        self.tidy();
        expired
    }

    /// Takes out all that wait.
    pub(super) fn give_up(&mut self) -> Vec<Waiting<T>> {
        std::mem::take(&mut self.waiting).into()
    }

    /// Whether a record still becomes one request with what is under way.
    fn joins(&self, bytes: usize, now: Instant) -> bool {
        self.together.as_ref().is_some_and(|together| {
            now.saturating_duration_since(together.since) < JOIN
                && together.records < TOGETHER
                && together.bytes + bytes <= TOGETHER_BYTES
        })
    }

    fn go(&mut self, bytes: usize, now: Instant) {
        if self.under_way == 0 {
            self.together = None;
        }
        let together = self.together.get_or_insert(Together {
            since: now,
            records: 0,
            bytes: 0,
        });
        together.records += 1;
        together.bytes += bytes;
        self.under_way += 1;
    }

    /// What an outage has piled up is not kept as memory for ever.
    fn tidy(&mut self) {
        if self.waiting.is_empty() && self.waiting.capacity() > TOGETHER {
            self.waiting = VecDeque::new();
        }
    }
}
