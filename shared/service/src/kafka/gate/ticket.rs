//! What goes with a record, on either side of the gate.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::line::Waiting;
use super::lines::Place;
use crate::kafka::delivery::Fate;
use crate::kafka::{Outgoing, ProduceError};

/// librdkafka. It keeps the ticket until the record has its fate, or gives it back at once.
pub(in crate::kafka) trait Onward {
    /// Takes a record. Never blocks, and tells no fate before it returns.
    fn hand_over(
        &self,
        record: &Outgoing,
        ticket: Box<Ticket>,
    ) -> Result<(), (ProduceError, Box<Ticket>)>;
}

/// Goes with a record that was handed over: who is told its fate, and where it counts.
pub(in crate::kafka) struct Ticket {
    pub(super) sender: oneshot::Sender<Fate>,
    pub(super) bytes: usize,
    pub(super) line: Option<Arc<Place<Held>>>,
}

/// A record that waits. Without its line, which would own itself.
pub(super) struct Held {
    pub(super) record: Outgoing,
    pub(super) sender: oneshot::Sender<Fate>,
}

/// A record that was given up here, to be told when no lock is held: telling wakes others.
pub(super) struct Lost {
    pub(super) sender: oneshot::Sender<Fate>,
    pub(super) bytes: usize,
    pub(super) error: ProduceError,
}

impl Ticket {
    pub(super) fn new(
        sender: oneshot::Sender<Fate>,
        bytes: usize,
        line: Option<&Arc<Place<Held>>>,
    ) -> Box<Self> {
        let line = line.cloned();
        Box::new(Self {
            sender,
            bytes,
            line,
        })
    }
}

impl Lost {
    pub(super) fn new(waiting: Waiting<Held>, error: ProduceError) -> Self {
        Self {
            sender: waiting.item.sender,
            bytes: waiting.bytes,
            error,
        }
    }
}
