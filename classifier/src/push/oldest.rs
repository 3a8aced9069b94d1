//! How long the oldest push in memory has waited, as a metric: their number says little of that.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use service::clock::Clock;
use service::metrics::Metrics;

use super::done::Partition;

/// Every partition that is read; cloning shares them.
#[derive(Debug, Clone, Default)]
pub(super) struct Oldest(Arc<Mutex<Vec<Weak<Partition>>>>);

impl Oldest {
    /// Adds `push_oldest_seconds`.
    pub(super) fn new(metrics: &Metrics, clock: Clock) -> Self {
        let watched = Self::default();
        let read = watched.clone();
        metrics.figures(
            [(
                "push_oldest_seconds",
                "Age of the oldest push in memory, from its record's time; 0: there is none.",
            )],
            move || {
                let age = read.made().map(|made| clock.wall_ms().saturating_sub(made));
                [age.unwrap_or(0).max(0) as f64 / 1_000.0]
            },
        );
        watched
    }

    /// From now on its pushes count, for as long as it is read here.
    pub(super) fn watch(&self, partition: &Arc<Partition>) {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|partition| partition.strong_count() > 0);
        watched.push(Arc::downgrade(partition));
    }

    /// When the oldest was made.
    fn made(&self) -> Option<i64> {
        let watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let read = watched.iter().filter_map(Weak::upgrade);
        // What is over is its next reader's.
        let read = read.filter(|partition| !partition.over.is_cancelled());
        read.filter_map(|partition| partition.oldest()).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_of_all_partitions_is_told_until_it_is_done() {
        let (metrics, (clock, hand)) = (Metrics::new(), Clock::manual(100_000));
        let oldest = Oldest::new(&metrics, clock);
        let partitions = [0, 1].map(|number| Arc::new(Partition::new(number, 0)));
        partitions.iter().for_each(|one| oldest.watch(one));
        let is = |seconds: &str| {
            let (text, line) = (metrics.render(), format!("push_oldest_seconds {seconds}"));
            assert!(text.lines().any(|one| one == line), "{line} in {text}");
        };
        is("0");
        // Their clocks differ: the offsets' order is not that of times.
        partitions[0].take(0, 99_000);
        partitions[0].take(1, 97_500);
        partitions[1].take(0, 98_000);
        is("2.5");
        hand.advance(Duration::from_secs(1));
        is("3.5");
        partitions[0].end(1);
        is("3");
        partitions[1].over.cancel();
        is("2");
        partitions[0].end(0);
        is("0");
        // A clock that is behind makes no age.
        partitions[0].take(2, 500_000);
        is("0");
    }
}
