//! How long each client was away.

use std::time::Duration;

use serde::Serialize;

/// The times between losing a connection and being greeted on the next, over all clients.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Away {
    /// How many times a client was away.
    pub count: usize,
    /// Half were back sooner, in ms.
    pub p50: f64,
    /// 99 of 100 were.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl Away {
    /// From each absence.
    #[must_use]
    pub fn of(mut absences: Vec<Duration>) -> Self {
        absences.sort_unstable();
        let at = |percent: usize| {
            // The nearest rank: the smallest that at least `percent` of all do not exceed.
            let rank = (absences.len() * percent).div_ceil(100).max(1);
            absences
                .get(rank - 1)
                .map_or(0.0, |time| time.as_secs_f64() * 1000.0)
        };
        Self {
            count: absences.len(),
            p50: at(50),
            p99: at(99),
            max: at(100),
        }
    }
}

impl std::fmt::Display for Away {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            count,
            p50,
            p99,
            max,
        } = self;
        write!(
            f,
            "{count} times away: p50 {p50:.0} ms, p99 {p99:.0} ms, max {max:.0} ms"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_rank() {
        let away = Away::of((1..=100).rev().map(Duration::from_millis).collect());
        assert_eq!(
            away,
            Away {
                count: 100,
                p50: 50.0,
                p99: 99.0,
                max: 100.0
            }
        );
        assert_eq!(Away::of(Vec::new()), Away::default());
        assert_eq!(Away::of(vec![Duration::from_millis(7)]).p50, 7.0);
    }
}
