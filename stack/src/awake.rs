//! A clock that stands still with the machine.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const TICK: Duration = Duration::from_millis(5);

/// How long something takes, without the time in which nothing could run: for bounds that a machine must not break by being
/// stopped, or by having too much else to do.
#[derive(Debug)]
pub struct Awake(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    ticks: AtomicU32,
    pause: Mutex<Duration>,
}

impl Awake {
    /// From now on.
    #[must_use]
    pub fn since_now() -> Self {
        let seen = Arc::new(Seen::default());
        let watched = Arc::downgrade(&seen);
        // A thread, as whoever is measured may hold up a whole runtime. It ends with the clock.
        thread::spawn(move || {
            let mut last = Instant::now();
            while let Some(seen) = watched.upgrade() {
                drop(seen);
                thread::sleep(TICK);
                let now = Instant::now();
                if let Some(seen) = watched.upgrade() {
                    seen.ticked(now - last);
                }
                last = now;
            }
        });
        Self(seen)
    }

    /// How long it has been running: never more than what has passed.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        TICK * self.0.ticks.load(Ordering::Relaxed)
    }

    /// The longest time in which it did not run.
    #[must_use]
    pub fn longest_pause(&self) -> Duration {
        *self.0.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn ticked(&self, after: Duration) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        *pause = (*pause).max(after.saturating_sub(TICK));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_and_never_ahead() {
        let (begun, awake) = (Instant::now(), Awake::since_now());
        while awake.elapsed() < TICK * 10 {
            thread::sleep(TICK);
        }
        let elapsed = awake.elapsed();
        assert!(elapsed <= begun.elapsed(), "{elapsed:?}");
        assert!(elapsed + awake.longest_pause() <= begun.elapsed());
    }

    #[test]
    fn what_stands_still_is_seen_and_not_counted() {
        let seen = Seen::default();
        for after in [TICK, Duration::from_secs(3), TICK] {
            seen.ticked(after);
        }
        let awake = Awake(Arc::new(seen));
        assert_eq!(awake.elapsed(), TICK * 3);
        assert_eq!(awake.longest_pause(), Duration::from_secs(3) - TICK);
    }
}
