//! Time, as an argument: services take a [`Clock`], tests turn one by hand.

use std::ops::Add;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// A moment of `CLOCK_BOOTTIME`: unlike `Instant`, it goes on while the machine sleeps, so that a
/// paused process does not believe its lease or cached route to be fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// How long after `earlier`; zero if it was not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;
    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }
}

/// Where the time comes from; cloning shares it.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Manual(Arc<Manual>),
}

#[derive(Debug)]
struct Manual {
    wall_ms: AtomicI64,
    boot: Mutex<Duration>,
}

/// The hand that turns a manual clock.
#[derive(Debug, Clone)]
pub struct Hand(Arc<Manual>);

impl Clock {
    /// The machine's.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// One that stands still until its hand turns it.
    pub fn manual(wall_ms: i64) -> (Self, Hand) {
        let manual = Arc::new(Manual {
            wall_ms: AtomicI64::new(wall_ms),
            boot: Mutex::new(Duration::from_secs(1_000)),
        });
        (Self(Source::Manual(Arc::clone(&manual))), Hand(manual))
    }

    /// Milliseconds since 1970, UTC: for what people and records see, never for leases.
    pub fn wall_ms(&self) -> i64 {
        match &self.0 {
            Source::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .ok()
                .and_then(|time| i64::try_from(time.as_millis()).ok())
                .unwrap_or(0),
            Source::Manual(manual) => manual.wall_ms.load(Ordering::Relaxed),
        }
    }

    /// Now.
    pub fn now(&self) -> Moment {
        match &self.0 {
            Source::System => {
                let time = clock_gettime(ClockId::Boottime);
                Moment(Duration::new(
                    u64::try_from(time.tv_sec).unwrap_or(0),
                    u32::try_from(time.tv_nsec).unwrap_or(0),
                ))
            }
            Source::Manual(manual) => {
                Moment(*manual.boot.lock().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }
}

impl Hand {
    /// Turns both times on.
    pub fn advance(&self, time: Duration) {
        *self.0.boot.lock().unwrap_or_else(PoisonError::into_inner) += time;
        let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.0.wall_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_goes_on_and_a_manual_one_stands() {
        let clock = Clock::system();
        let first = clock.now();
        assert!(clock.now() >= first);
        assert!(clock.wall_ms() > 1_600_000_000_000);

        let (clock, hand) = Clock::manual(5_000);
        let first = clock.now();
        assert_eq!(clock.now(), first);
        hand.advance(Duration::from_secs(2));
        assert_eq!(clock.now().since(first), Duration::from_secs(2));
        assert_eq!(first.since(clock.now()), Duration::ZERO);
        assert_eq!(clock.wall_ms(), 7_000);
    }
}
