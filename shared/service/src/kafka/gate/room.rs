//! How many records have no fate yet, wherever they are.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::ProduceError;

/// The most records in memory.
pub(in crate::kafka) const MOST_RECORDS: usize = 200_000;
/// Their bytes.
pub(in crate::kafka) const MOST_BYTES: usize = 64 * 1024 * 1024;

/// What is taken. librdkafka counts as well, but only what it was given.
#[derive(Default)]
pub(super) struct Room {
    records: AtomicUsize,
    bytes: AtomicUsize,
}

impl Room {
    /// Takes room for a record, if there is.
    pub(super) fn take(&self, bytes: usize) -> Result<(), ProduceError> {
        let records = self.records.fetch_add(1, Relaxed) + 1;
        let all = self.bytes.fetch_add(bytes, Relaxed) + bytes;
        if records > MOST_RECORDS || all > MOST_BYTES {
            self.give(bytes);
            return Err(ProduceError::Full);
        }
        Ok(())
    }

    /// Gives a record's room back.
    pub(super) fn give(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Relaxed);
        self.records.fetch_sub(1, Relaxed);
    }

    /// Records that have some.
    pub(super) fn records(&self) -> usize {
        self.records.load(Relaxed)
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }
}
