//! Every first arrival by itself, for who asks more than percentiles.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use super::gauge::lock;

/// The first arrival of a message at a session, on the scenario's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) session: usize,
    /// When the message was due, in µs.
    pub(crate) due_us: u64,
    /// When it arrived, in µs.
    pub(crate) at_us: u64,
}

/// Nothing is kept before [`Trace::start`]: load runs pay for none of it.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    on: AtomicBool,
    deliveries: Mutex<Vec<Delivery>>,
}

impl Trace {
    pub(crate) fn start(&self) {
        self.on.store(true, Relaxed);
    }

    pub(crate) fn add(&self, delivery: Delivery) {
        if self.on.load(Relaxed) {
            lock(&self.deliveries).push(delivery);
        }
    }

    /// What came since the start.
    pub(crate) fn take(&self) -> Vec<Delivery> {
        self.on.store(false, Relaxed);
        std::mem::take(&mut lock(&self.deliveries))
    }
}
