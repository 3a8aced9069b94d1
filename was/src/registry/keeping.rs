//! Custody of the home that is read here: fed by sessions, turned by time, counted.

use std::sync::Arc;
use std::time::Duration;

use protocol::CloseCode;
use tokio::time::Instant;

use super::Registry;
use crate::custody::{Capacity, Custody, Round, Ticket};
use crate::metrics::Observed;
use crate::socket::Bound;

/// How much is in custody at most (I9): the records of half a minute at 3,000 a second; some 20 MB.
pub(super) const CAPACITY: Capacity = Capacity {
    records: 100_000,
    deliveries: 1_000_000,
};

/// A reader's times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// How long a round is.
    pub(super) turn: Duration,
    /// How often the offset is committed.
    pub(super) commit: Duration,
    /// How long nothing more may fit before those who keep it so are closed.
    pub(super) full: Duration,
}

pub(super) const PACE: Pace = Pace {
    turn: Duration::from_millis(500),
    commit: Duration::from_secs(2),
    full: Duration::from_secs(5),
};

/// What one reader keeps.
pub(super) struct Keeping {
    pub(super) custody: Custody,
    first: Round,
    /// Records that sessions have dropped as seen, in rounds that are not done yet.
    seen: u64,
    full_since: Option<Instant>,
    full_within: Duration,
    registry: Arc<Registry>,
    observed: Arc<Observed>,
    bound: Bound,
}

impl Keeping {
    pub(super) fn new(
        registry: Arc<Registry>,
        observed: Arc<Observed>,
        bound: Bound,
        capacity: Capacity,
        full_within: Duration,
    ) -> Self {
        let first = registry.confirmations.listen();
        Self {
            custody: Custody::new(first, capacity),
            first,
            seen: 0,
            full_since: None,
            full_within,
            registry,
            observed,
            bound,
        }
    }

    /// Takes in what sessions have said.
    pub(super) fn listen(&mut self) {
        let said = self.registry.confirmations.take(self.first);
        for ((user, session), (upto, seen)) in said.confirmed {
            self.custody.confirm(user, session, upto);
            self.seen += seen;
        }
        for (user, session) in said.parted {
            self.custody.received(user, session);
        }
        if !said.ended.is_empty() {
            self.custody.ended(&said.ended);
        }
    }

    /// A batch was handed on, unless it never will be.
    pub(super) fn handed(&mut self, ticket: Option<Ticket>) {
        if let Some(ticket) = ticket {
            self.custody.handed(ticket);
        }
    }

    /// Begins the next round. Those who hold too much are asked, and closed when that does not help.
    pub(super) fn turn(&mut self) {
        self.listen();
        let present = self.custody.turn();
        self.registry.confirmations.turn(present);
        if self.custody.is_pressed() {
            for (_, session) in self.custody.press() {
                self.registry.press(session, present, self.bound);
            }
        }
        if !self.custody.is_full() {
            self.full_since = None;
        } else if self.full_since.get_or_insert_with(Instant::now).elapsed() >= self.full_within {
            for (_, session) in self.custody.oldest_holders() {
                self.registry.end(session, CloseCode::TooSlow, self.bound);
            }
        }
        self.count();
    }

    /// A delivery that its only session dropped as seen is counted as that (I10).
    fn count(&mut self) {
        let done = self.custody.take_confirmed();
        let seen = self.seen.min(done);
        self.seen -= seen;
        self.observed.custody.seen.inc_by(seen);
        self.observed.custody.confirmed.inc_by(done - seen);
        let kept = i64::try_from(self.custody.kept().deliveries).unwrap_or(i64::MAX);
        self.observed.in_custody.set(kept);
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.listen();
        self.count();
        self.observed.in_custody.set(0);
        self.registry.confirmations.leave(self.first);
    }
}
