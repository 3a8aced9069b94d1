//! Latencies in HDR histograms.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;
use serde::Serialize;

/// More than two threads seldom record at once on the machines this runs on.
const SHARDS: usize = 8;
/// What is longer counts as this: a minute, in µs.
const LONGEST_US: u64 = 60_000_000;

/// Latencies recorded from many tasks, to 3 digits, from 1 µs to a minute.
#[derive(Debug)]
pub struct Latencies {
    shards: Vec<Mutex<Histogram<u64>>>,
}

/// What is told of a histogram, in ms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half were faster.
    pub p50: f64,
    /// 90 of 100 were faster.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1,000.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(empty())).collect(),
        }
    }
}

fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, 3).expect("valid bounds")
}

impl Latencies {
    /// Records one, in µs; `shard` is any number that differs between tasks.
    pub fn record(&self, shard: usize, us: u64) {
        let mut shard = self.shards[shard % SHARDS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        shard.saturating_record(us.clamp(1, LONGEST_US));
    }

    /// All that was recorded.
    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        let mut all = empty();
        for shard in &self.shards {
            // Same bounds: adding can't fail.
            let _ = all.add(&*shard.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let ms = |us: u64| Duration::from_micros(us).as_secs_f64() * 1000.0;
        let at = |quantile| ms(all.value_at_quantile(quantile));
        Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: ms(all.max()),
        }
    }
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            p50,
            p90,
            p99,
            p999,
            max,
        } = self;
        write!(
            f,
            "p50 {p50:.1} ms, p90 {p90:.1}, p99 {p99:.1}, p99.9 {p999:.1}, max {max:.1}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_all_shards() {
        let latencies = Latencies::default();
        for ms in 1_usize..=1000 {
            latencies.record(ms, u64::try_from(ms).unwrap() * 1000);
        }
        let told = latencies.percentiles();
        for (value, wanted) in [
            (told.p50, 500.0),
            (told.p90, 900.0),
            (told.p99, 990.0),
            (told.max, 1000.0),
        ] {
            assert!(
                (value - wanted).abs() < wanted * 0.002,
                "{value} is not {wanted}"
            );
        }
    }
}
