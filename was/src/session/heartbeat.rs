//! Pings and their pongs: whether the client lives, and what it has received (I8).
//!
//! A pong carries its ping's count, and whatever was sent before that ping has arrived with it. So a
//! ping is remembered with the round up to which all was sent; only the pong of a ping that is known
//! confirms. In the round that is still under way more may come, and what is held back was not sent.

use std::time::{Duration, Instant};

use crate::custody::Round;

/// While something is unconfirmed, a ping goes out at least this often.
const CONFIRM_EVERY: Duration = Duration::from_secs(10);
/// So many pings without a pong, and the client is gone when the next is due.
const UNANSWERED: usize = 2;
/// While too much is in custody, so long without a pong and the client is gone.
const PRESSED_WITHIN: Duration = Duration::from_secs(3);

/// What is known of one client's life. Rounds are bounds: what is said is said of those before them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Heartbeat {
    due: Instant,
    sent: u64,
    /// Pings without a pong yet: their counts, what their pongs confirm, and when they went out.
    unanswered: Vec<(u64, Round, Instant)>,
    /// All that was queued before this round was taken from the mailbox.
    turned: Round,
    /// Nothing came yet of this round or a later one.
    untaken: Round,
    /// All that came before this round was received by the client.
    unconfirmed: Round,
}

impl Heartbeat {
    pub(super) fn new(first: Instant) -> Self {
        Self {
            due: first,
            sent: 0,
            unanswered: Vec::new(),
            turned: Round(0),
            untaken: Round(0),
            unconfirmed: Round(0),
        }
    }

    /// When the next ping is to go out.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    fn is_unconfirmed(&self) -> bool {
        self.unconfirmed < self.untaken
    }

    /// All that was queued in rounds before `present` was taken.
    pub(super) fn turned(&mut self, present: Round) {
        self.turned = self.turned.max(present);
    }

    /// Something of a round was taken: sent, held, or dropped as seen.
    pub(super) fn took(&mut self, round: Round, now: Instant) {
        if !self.is_unconfirmed() {
            self.due = self.due.min(now + CONFIRM_EVERY);
        }
        self.untaken = self.untaken.max(round.next());
    }

    /// Whether to ping at once: not while a pong is outstanding.
    pub(super) fn is_pressed(&self) -> bool {
        self.is_unconfirmed() && self.unanswered.is_empty()
    }

    /// Whether a pong is overdue that others wait for.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        let first = self.unanswered.first();
        self.is_unconfirmed() && first.is_some_and(|(.., at)| now >= *at + PRESSED_WITHIN)
    }

    /// A ping goes out: its count, or none when those before were not answered. `held` is the oldest
    /// round of which something waits here; `every` the pace while nothing is unconfirmed.
    pub(super) fn ping(
        &mut self,
        held: Option<Round>,
        now: Instant,
        every: Duration,
    ) -> Option<u64> {
        if self.unanswered.len() >= UNANSWERED {
            return None;
        }
        self.sent += 1;
        let before = held.map_or(self.turned, |held| held.min(self.turned));
        self.unanswered.push((self.sent, before, now));
        let pause = if self.is_unconfirmed() {
            every.min(CONFIRM_EVERY)
        } else {
            every
        };
        self.due = now + pause;
        Some(self.sent)
    }

    /// A pong came: up to which round all is confirmed, if that is news.
    pub(super) fn pong(&mut self, count: u64) -> Option<Round> {
        let at = self.unanswered.iter().position(|ping| ping.0 == count)?;
        let (_, before, _) = self.unanswered.drain(..=at).next_back()?;
        if self.unanswered.is_empty() {
            // Most sockets are idle most of the time.
            self.unanswered = Vec::new();
        }
        if !self.is_unconfirmed() || before <= self.unconfirmed {
            return None;
        }
        self.unconfirmed = before;
        before.before()
    }
}
