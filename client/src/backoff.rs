//! When to try again: at once, then with full jitter.
//!
//! A server that goes away drops all its clients in the same instant. The first attempt costs nothing and usually
//! succeeds elsewhere; what follows is spread evenly over a growing window, so that those who fail do not come back
//! together.

use std::time::Duration;

/// The pace of reconnecting. Pure: the caller brings the randomness.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// `base` is the first window, `cap` the widest.
    #[must_use]
    pub(crate) const fn new(base: Duration, cap: Duration) -> Self {
        Self {
            base,
            cap,
            failures: 0,
        }
    }

    /// How long to wait before the next attempt: nothing for the first one, then `unit` (in 0..1) of a window that
    /// doubles with each failure up to the cap.
    pub(crate) fn next(&mut self, unit: f64) -> Duration {
        let window = match self.failures {
            0 => Duration::ZERO,
            n => self
                .base
                .saturating_mul(1_u32.checked_shl(n - 1).unwrap_or(u32::MAX))
                .min(self.cap),
        };
        self.failures = self.failures.saturating_add(1);
        window.mul_f64(unit.clamp(0.0, 1.0))
    }

    /// The connection proved good: the next loss is answered at once again.
    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_is_at_once_then_windows_double_to_the_cap() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        let windows: Vec<_> = (0..5).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(windows, [0, 100, 200, 350, 350]);
        backoff.reset();
        assert_eq!(backoff.next(1.0), Duration::ZERO);
    }

    #[test]
    fn jitter_is_full_and_many_failures_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        for _ in 0..100 {
            assert_eq!(backoff.next(0.0), Duration::ZERO);
        }
        assert_eq!(backoff.next(0.5), Duration::from_secs(5));
    }
}
