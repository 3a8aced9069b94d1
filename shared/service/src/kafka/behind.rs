//! How far reading is behind what there is to read.
//!
//! Readers know where they are, and only brokers know where a partition ends. (What a fetch says of the
//! end is older the further its reader is behind: of a full queue nothing is fetched.) So the ends are
//! asked for all partitions at once, each second, and compared with where the readers are when metrics
//! are asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

/// Between two questions.
const EVERY: Duration = Duration::from_secs(1);
/// For how long an end is believed when no later one is heard.
const GOOD_FOR: Duration = Duration::from_secs(15);

/// Where partitions of one topic end, as far as that is known; cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Ends(Arc<Mutex<HashMap<i32, (i64, Instant)>>>);

impl Ends {
    /// How many records lie between each position (the next offset to be done) and the end of its
    /// partition. Partitions whose end is not known, or was heard of too long ago, are left out.
    pub fn behind(&self, positions: impl IntoIterator<Item = (i32, i64)>) -> Vec<(i32, i64)> {
        self.behind_at(Instant::now(), positions)
    }

    fn behind_at(
        &self,
        now: Instant,
        positions: impl IntoIterator<Item = (i32, i64)>,
    ) -> Vec<(i32, i64)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let positions = positions.into_iter();
        let behind = positions.filter_map(|(partition, next)| {
            let (end, heard) = known.get(&partition)?;
            let good = now.saturating_duration_since(*heard) <= GOOD_FOR;
            // Reading may have gone on since the end was asked for.
            good.then(|| (partition, end.saturating_sub(next).max(0)))
        });
        behind.collect()
    }

    /// Asks each second for the ends of what is read then, and never ends by itself. What can't be
    /// answered is asked for again with the next second.
    pub async fn follow<A, E>(
        self,
        read: impl Fn() -> Vec<i32> + Send,
        ask: impl Fn(Vec<i32>) -> A + Send,
    ) where
        A: Future<Output = Result<Vec<(i32, i64)>, E>> + Send,
        E: std::fmt::Display,
    {
        let mut due = tokio::time::interval(EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            let partitions = read();
            match ask(partitions.clone()).await {
                Ok(ends) => self.hear(Instant::now(), &partitions, ends),
                Err(error) => tracing::debug!(%error, "where partitions end is not known"),
            }
        }
    }

    /// What is not read any more is forgotten: when it is read again its end may be another.
    fn hear(&self, now: Instant, read: &[i32], ends: Vec<(i32, i64)>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|partition, _| read.contains(partition));
        known.extend(
            ends.into_iter()
                .map(|(partition, end)| (partition, (end, now))),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_is_from_the_position_to_the_end() {
        let (ends, now) = (Ends::default(), Instant::now());
        ends.hear(now, &[1, 2, 3], vec![(1, 10), (2, 4)]);
        let behind = |positions: &[(i32, i64)]| ends.behind_at(now, positions.iter().copied());
        assert_eq!(behind(&[(1, 7), (2, 4), (3, 0), (4, 0)]), [(1, 3), (2, 0)]);
        // Further than the end that is known: one that was asked for a while ago.
        assert_eq!(behind(&[(1, 12)]), [(1, 0)]);
        // What is not read any more is forgotten.
        ends.hear(now, &[2], vec![(2, 6)]);
        assert_eq!(behind(&[(1, 7), (2, 4)]), [(2, 2)]);
    }

    /// Without an answer the last one is good for a while; then nothing is said rather than something
    /// untrue.
    #[test]
    fn an_old_end_is_not_believed() {
        let (ends, heard) = (Ends::default(), Instant::now());
        ends.hear(heard, &[1], vec![(1, 5)]);
        assert_eq!(ends.behind_at(heard + GOOD_FOR, [(1, 2)]), [(1, 3)]);
        let late = heard + GOOD_FOR + Duration::from_millis(1);
        assert!(ends.behind_at(late, [(1, 2)]).is_empty());
    }

    /// Brokers are asked once a second at the most, whatever they answer.
    #[tokio::test]
    async fn the_brokers_are_not_asked_more_often_than_each_second() {
        let (begun, asked) = (Instant::now(), Mutex::new(Vec::new()));
        let follow = Ends::default().follow(
            || vec![1],
            |partitions| {
                let mut asked = asked.lock().unwrap();
                asked.push((Instant::now(), partitions));
                let failed = asked.len() == 1;
                std::future::ready(if failed { Err("away") } else { Ok(Vec::new()) })
            },
        );
        let twice = async {
            while asked.lock().unwrap().len() < 2 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let within = tokio::time::timeout(Duration::from_secs(60), async {
            tokio::select! {
                () = follow => {}
                () = twice => {}
            }
        });
        within.await.expect("asked once, and never again");
        let asked = asked.into_inner().unwrap();
        assert_eq!(asked[0].1, [1]);
        // Not since the first: it may have been late by what the second is not.
        let after = asked[1].0 - begun;
        assert!(after >= EVERY, "{after:?}");
    }
}
