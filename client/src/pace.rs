//! How fast commands leave.
//!
//! The servers allow so many commands at once and so many a second for long, and reject what is above. An outbox that
//! sends the rejected ones again at once has nearly all of them rejected again, and those behind overtake them. So it
//! keeps the same limit by itself, as `welcome` tells it, and holds everything back once one command was rejected: other
//! sessions of the same user may use the limit too.

use std::time::Duration;

use tokio::time::Instant;

/// A token bucket, kept as the time at which the next command is due: <https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm>.
/// Pure: `now` is an argument.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    next: Option<Instant>,
    interval: Duration,
    /// How far `next` may lie in the past: what was not used is kept for a burst.
    credit: Duration,
}

impl Pace {
    /// A full bucket: `burst` at once, then `per_second`.
    pub(crate) fn begin(&mut self, now: Instant, per_second: u32, burst: u32) {
        self.interval = Duration::from_secs(1) / per_second.max(1);
        self.credit = self.interval * burst.saturating_sub(1);
        self.next = self.full(now);
    }

    /// Nothing leaves before `until`.
    pub(crate) fn hold(&mut self, until: Instant) {
        self.next = self.next.max(Some(until));
    }

    /// Whether one may leave now; it counts then.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let next = self.next.max(self.full(now)).unwrap_or(now);
        if next > now {
            return false;
        }
        self.next = Some(next + self.interval);
        true
    }

    /// When the next may leave; none = it could have long ago.
    pub(crate) const fn next(&self) -> Option<Instant> {
        self.next
    }

    fn full(&self, now: Instant) -> Option<Instant> {
        now.checked_sub(self.credit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many leave at this moment.
    fn leave(pace: &mut Pace, now: Instant) -> usize {
        (0..1_000).take_while(|_| pace.take(now)).count()
    }

    #[test]
    fn a_burst_then_the_rate_and_again_a_burst_after_a_rest() {
        let start = Instant::now() + Duration::from_secs(60);
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::default();
        pace.begin(start, 20, 5);
        assert_eq!(leave(&mut pace, at(0)), 5);
        assert_eq!(pace.next(), Some(at(50)));
        assert_eq!(leave(&mut pace, at(49)), 0);
        assert_eq!(leave(&mut pace, at(50)), 1);
        assert_eq!(leave(&mut pace, at(160)), 2);
        assert_eq!(leave(&mut pace, at(10_000)), 5);
    }

    #[test]
    fn who_is_held_goes_on_at_the_rate() {
        let start = Instant::now() + Duration::from_secs(60);
        let mut pace = Pace::default();
        pace.begin(start, 20, 5);
        let until = start + Duration::from_millis(300);
        pace.hold(until);
        pace.hold(start);
        assert_eq!(leave(&mut pace, until - Duration::from_millis(1)), 0);
        assert_eq!(leave(&mut pace, until), 1);
    }

    #[test]
    fn before_a_limit_was_told_nothing_is_held() {
        assert_eq!(leave(&mut Pace::default(), Instant::now()), 1_000);
    }
}
