//! Custody of a home's records (I8): where its committed offset may stand, and who is to be told in
//! another way. Pure: no clock, no I/O, no randomness.
//!
//! Whoever reads a home (its owner, a steward, a restarted owner) answers for each *delivery*, that
//! is for each recipient of each record with a seq. A delivery is done when a session here has
//! confirmed it by a pong, or when it was handed on: to the home of another session of its user, or
//! to a push. Until then the offset stays behind its record, so that the next reader finds it.
//!
//! Counting is by *rounds*: spans of offsets of half a second. A session holds the oldest round
//! that it has not confirmed, and with it all that was queued for it since; a round is done when no
//! session and no orphan holds it or an earlier one. So a delivery costs nothing to a session that
//! was written to in the round before, and a pong costs one step however much it confirms. When a
//! session ends, what it held is found in a ledger of the records.
//!
//! ```text
//! for each recipient of a record:   wrote(…)  for each session here, or  absent(…)
//! then for the record:              record(…), or passed(…) when none of it is in custody
//! each half second:                 turn()
//! from sessions:                    confirm(…), received(…) or ended(…)
//! for what nobody here can confirm: take_orphans(…), and handed(…) once acknowledged
//! to be committed:                  committable()
//! ```

mod duty;
mod ledger;
mod rounds;
#[cfg(test)]
mod tests;

use protocol::{Address, RoomId, Seq, UserId};

pub use duty::Custody;
pub use rounds::Round;

/// A session, by its user and address.
pub type Holder = (UserId, Address);

/// A delivery that no session here can confirm: its user is to be told in another way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Orphan {
    /// Whom.
    pub user: UserId,
    /// Of which room.
    pub room: RoomId,
    /// Of which of its records.
    pub seq: Seq,
}

/// Orphans that are handed on together, in the order of their records.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Batch {
    /// What [`Custody::handed`] is told when all of them are acknowledged.
    pub ticket: Ticket,
    /// The orphans.
    pub orphans: Vec<Orphan>,
}

/// Names one [`Batch`] of one [`Custody`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// How much is kept in custody at once (I9); what is beyond it waits in Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Capacity {
    /// Records.
    pub records: usize,
    /// Deliveries, orphans among them.
    pub deliveries: usize,
}
