//! How fast a user may send: a token bucket per user, over all of its sockets and requests.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::UserId;

/// A rate for long and at once.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// A second, for long.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

/// One user's bucket, as the moment at which it will be full again: one number to keep.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    full_at: Instant,
}

impl Bucket {
    /// Takes one, or says how long to wait for it.
    fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let one = Duration::from_secs(1) / rate.per_second.max(1);
        let full_at = self.full_at.max(now) + one;
        let room = one * rate.burst.max(1);
        match (full_at - now).checked_sub(room) {
            None | Some(Duration::ZERO) => {
                self.full_at = full_at;
                Ok(())
            }
            Some(wait) => Err(wait),
        }
    }
}

/// The buckets of all users who sent lately.
#[derive(Debug)]
pub struct RateLimits {
    rate: Rate,
    buckets: Mutex<Buckets>,
}

#[derive(Debug)]
struct Buckets {
    users: HashMap<UserId, Bucket>,
    prune_at: usize,
}

const PRUNE_AT_LEAST: usize = 1024;

impl RateLimits {
    /// Everybody's bucket is full.
    pub fn new(rate: Rate) -> Self {
        let buckets = Buckets {
            users: HashMap::new(),
            prune_at: PRUNE_AT_LEAST,
        };
        Self {
            rate,
            buckets: Mutex::new(buckets),
        }
    }

    /// Takes one for this user, or says how long to wait for it.
    pub fn take(&self, user: UserId, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.users.len() >= buckets.prune_at {
            // A full bucket says nothing that an absent one does not.
            buckets.users.retain(|_, bucket| bucket.full_at > now);
            buckets.prune_at = (buckets.users.len() * 2).max(PRUNE_AT_LEAST);
        }
        let bucket = buckets.users.entry(user).or_insert(Bucket { full_at: now });
        bucket.take(self.rate, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 20,
        burst: 100,
    };

    #[test]
    fn a_burst_then_the_rate() {
        let limits = RateLimits::new(RATE);
        let user = UserId::new(1).unwrap();
        let start = Instant::now();
        assert_eq!(
            (0..200)
                .filter(|_| limits.take(user, start).is_ok())
                .count(),
            100
        );
        let wait = limits.take(user, start).unwrap_err();
        assert_eq!(wait, Duration::from_millis(50));
        assert!(limits.take(user, start + wait).is_ok());
        let later = start + Duration::from_secs(2);
        assert_eq!(
            (0..200)
                .filter(|_| limits.take(user, later).is_ok())
                .count(),
            39
        );
    }

    #[test]
    fn users_do_not_share_and_full_buckets_are_forgotten() {
        let limits = RateLimits::new(RATE);
        let now = Instant::now();
        for id in 1..=5000 {
            let later = now + Duration::from_secs(u64::try_from(id).unwrap());
            assert!(limits.take(UserId::new(id).unwrap(), later).is_ok());
        }
        assert!(limits.buckets.lock().unwrap().users.len() <= PRUNE_AT_LEAST);
    }
}
