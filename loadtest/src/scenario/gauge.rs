//! What all connections of a scenario count together.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::trace::{Delivery, Trace};
use crate::{latency::Latencies, plan::Phase};

/// Counters and latencies of a scenario. Its clock starts with it.
#[derive(Debug)]
pub struct Gauge {
    start: Instant,
    /// From when a message was due to `accepted`, measured phase only.
    pub accepted_after: Latencies,
    /// From when a message was due to its first arrival at others than its sender, measured phase only.
    pub received_after: Latencies,
    issued: AtomicU64,
    accepted: AtomicU64,
    delivered: AtomicU64,
    arrivals: AtomicU64,
    refused: AtomicU64,
    strays: AtomicU64,
    delayed: AtomicU64,
    gaps: AtomicU64,
    losses: AtomicU64,
    last_arrival_us: AtomicU64,
    longest_pause_us: AtomicU64,
    absences: Mutex<Vec<Duration>>,
    remarks: Mutex<Vec<String>>,
    pub(crate) trace: Trace,
}

/// Strange things that are told in words, at most.
const REMARKS: usize = 20;

impl Default for Gauge {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            accepted_after: Latencies::default(),
            received_after: Latencies::default(),
            issued: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            arrivals: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            strays: AtomicU64::new(0),
            delayed: AtomicU64::new(0),
            gaps: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            last_arrival_us: AtomicU64::new(0),
            longest_pause_us: AtomicU64::new(0),
            absences: Mutex::new(Vec::new()),
            remarks: Mutex::new(Vec::new()),
            trace: Trace::default(),
        }
    }
}

impl Gauge {
    /// µs on the scenario's clock.
    #[must_use]
    pub fn us(&self, at: Instant) -> u64 {
        u64::try_from((at - self.start).as_micros()).unwrap_or(u64::MAX)
    }

    /// The instant of a time on the scenario's clock.
    #[must_use]
    pub fn instant(&self, us: u64) -> Instant {
        self.start + Duration::from_micros(us)
    }

    /// Measured messages handed to their senders' clients.
    #[must_use]
    pub fn issued(&self) -> u64 {
        self.issued.load(Relaxed)
    }

    /// Measured messages that the servers promised.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// First arrivals of measured messages, at the sender too.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Relaxed)
    }

    /// All arrivals of all phases.
    #[must_use]
    pub fn arrivals(&self) -> u64 {
        self.arrivals.load(Relaxed)
    }

    /// Messages that the sender's outbox had no place for: they were due and never issued.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Messages that arrived in rooms which are not of the scenario: no ledger knows of them.
    pub(crate) fn strays(&self) -> u64 {
        self.strays.load(Relaxed)
    }

    /// `rejected` with a later resend: `unavailable`, `rate_limited`.
    #[must_use]
    pub fn delayed(&self) -> u64 {
        self.delayed.load(Relaxed)
    }

    /// Gaps told by the servers.
    #[must_use]
    pub fn gaps(&self) -> u64 {
        self.gaps.load(Relaxed)
    }

    /// Connections lost, failed attempts included.
    #[must_use]
    pub fn losses(&self) -> u64 {
        self.losses.load(Relaxed)
    }

    /// The longest time in which no message arrived anywhere, between two arrivals.
    #[must_use]
    pub fn longest_pause(&self) -> Duration {
        Duration::from_micros(self.longest_pause_us.load(Relaxed))
    }

    /// Begins measuring [`Gauge::longest_pause`] afresh.
    pub fn forget_pause(&self) {
        self.last_arrival_us.store(0, Relaxed);
        self.longest_pause_us.store(0, Relaxed);
    }

    /// The absences so far.
    #[must_use]
    pub fn absences(&self) -> Vec<Duration> {
        lock(&self.absences).clone()
    }

    /// The first strange things that happened, in words.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        lock(&self.remarks).clone()
    }

    pub(crate) fn add_issued(&self, phase: Phase) {
        if phase == Phase::Measured {
            self.issued.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn add_accepted(&self, phase: Phase) {
        if phase == Phase::Measured {
            self.accepted.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn add_answer(&self, shard: usize, at: Instant, due: u64, phase: Phase) {
        if phase == Phase::Measured {
            self.accepted_after
                .record(shard, self.us(at).saturating_sub(due));
        }
    }

    pub(crate) fn add_arrival(&self, at: Instant) {
        self.arrivals.fetch_add(1, Relaxed);
        let now = self.us(at);
        let before = self.last_arrival_us.fetch_max(now, Relaxed);
        if before > 0 {
            self.longest_pause_us
                .fetch_max(now.saturating_sub(before), Relaxed);
        }
    }

    pub(crate) fn add_delivered(
        &self,
        session: usize,
        at: Instant,
        due: u64,
        phase: Phase,
        own: bool,
    ) {
        if phase == Phase::Measured {
            self.delivered.fetch_add(1, Relaxed);
            self.trace.add(Delivery {
                session,
                due_us: due,
                at_us: self.us(at),
            });
            if !own {
                self.received_after
                    .record(session, self.us(at).saturating_sub(due));
            }
        }
    }

    pub(crate) fn add_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn add_stray(&self) {
        self.strays.fetch_add(1, Relaxed);
    }

    pub(crate) fn add_delayed(&self) {
        self.delayed.fetch_add(1, Relaxed);
    }

    pub(crate) fn add_gap(&self) {
        self.gaps.fetch_add(1, Relaxed);
    }

    pub(crate) fn add_loss(&self) {
        self.losses.fetch_add(1, Relaxed);
    }

    pub(crate) fn add_absence(&self, absence: Duration) {
        lock(&self.absences).push(absence);
    }

    pub(crate) fn remark(&self, words: impl FnOnce() -> String) {
        let mut remarks = lock(&self.remarks);
        if remarks.len() < REMARKS {
            remarks.push(words());
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
