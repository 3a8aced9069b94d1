//! Collecting a batch: what waits in the lanes, bounded in rows and bytes. What does not fit stays
//! in the feeds: that is the backpressure.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use protocol::Lane;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::{Committed, Held, Order, Received, Worker};
use crate::pipeline::backoff::Stopped;
use crate::pipeline::context::Context;
use crate::pipeline::progress::Progress;
use crate::ports::{Feed, Incoming, LogError, Outside};

/// The most records in a batch: an append of 500 takes some 7–9 ms.
const MAX_ROWS: usize = 500;
/// The most bytes in a batch.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// The least time from one batch's start to the next one's. Each batch costs every server behind it a
/// round of work, whatever its size: at 1,000 messages a second this takes a third of the whole
/// system's processor time away, for 2 ms more on average. Who comes alone does not wait.
const PACE: Duration = Duration::from_millis(4);
/// As much more for each record of the batch before, up to [`LONGEST_PACE`]: the more there is to do,
/// the more is saved, and what is saved is time that everybody else waits for.
const PACE_PER_RECORD: Duration = Duration::from_micros(500);
const LONGEST_PACE: Duration = Duration::from_millis(12);

impl<O: Outside> Worker<O> {
    /// Waits until there is room behind and a record in front, then takes what waits. Obeys orders
    /// meanwhile. `Stopped`: the owner is gone.
    pub(super) async fn collect(&mut self) -> Result<Vec<Received>, Stopped> {
        loop {
            // This worker is the only sender: room that is there now stays.
            let order = tokio::select! {
                biased;
                order = self.orders.recv() => Some(order.ok_or(Stopped)?),
                room = room_at(self.next_batch, &self.out) => room.map(|()| None)?,
            };
            if let Some(order) = order {
                self.obey(order);
                continue;
            }
            let woken = tokio::select! {
                biased;
                order = self.orders.recv() => Woken::Order(order.ok_or(Stopped)?),
                (lane, first) = first(&mut self.lanes) => Woken::First(lane, first),
            };
            let (lane, first) = match woken {
                Woken::Order(order) => {
                    self.obey(order);
                    continue;
                }
                Woken::First(lane, first) => (lane, first),
            };
            match first {
                Ok(record) => {
                    let records = self.drain(lane, record);
                    self.next_batch = Instant::now() + pace(records.len());
                    return Ok(records);
                }
                Err(error) => self.unreadable(lane, &error),
            }
        }
    }

    /// What waits, lane by lane from the one whose turn it is; `lane` has given `first` already.
    fn drain(&mut self, lane: Lane, first: Incoming) -> Vec<Received> {
        let mut space = Space {
            rows: MAX_ROWS,
            bytes: MAX_BYTES,
        };
        let mut records = Vec::new();
        let mut failed = Vec::new();
        let context = Arc::clone(&self.context);
        if let Some(held) = self.lanes.get(&lane) {
            let record = read(&context, &held.progress, first);
            space.take(&record);
            records.push(record);
        }
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn % self.lanes.len().max(1);
        let quota = (MAX_ROWS / self.lanes.len().max(1)).max(1);
        // Two rounds: every lane its part, then whoever has more.
        for quota in [quota, MAX_ROWS] {
            let numbers: Vec<Lane> = self.lanes.keys().copied().collect();
            for lane in numbers.iter().cycle().skip(turn).take(numbers.len()) {
                let Some(held) = self.lanes.get_mut(lane) else {
                    continue;
                };
                for _ in 0..quota {
                    if space.is_full() {
                        break;
                    }
                    match held.feed.try_recv() {
                        Ok(Some(raw)) => {
                            let record = read(&context, &held.progress, raw);
                            space.take(&record);
                            records.push(record);
                        }
                        Ok(None) => break,
                        Err(error) => {
                            failed.push((*lane, error));
                            break;
                        }
                    }
                }
            }
        }
        for (lane, error) in failed {
            self.unreadable(lane, &error);
        }
        records
    }

    fn unreadable(&mut self, lane: Lane, error: &LogError) {
        tracing::warn!(%lane, %error, "a lane can't be read");
        self.lose(lane);
    }
}

/// Reads a record of a claimed lane.
fn read<O: Outside>(context: &Context<O>, claim: &Progress, raw: Incoming) -> Received {
    let (lane, offset, under) = (claim.lane, raw.offset, raw.trace);
    let mut record = Received::read(lane, claim.epoch, context.lanes, raw);
    let topic = context.topics.send();
    record.span = context.tracer.processes(under, topic, (lane.0, offset));
    record
}

/// How long after a batch of so many records the next one may begin.
fn pace(records: usize) -> Duration {
    let records = u32::try_from(records).unwrap_or(u32::MAX);
    (PACE + PACE_PER_RECORD.saturating_mul(records)).min(LONGEST_PACE)
}

/// Waits for the time, then for room for one more batch.
async fn room_at(time: Instant, out: &mpsc::Sender<Committed>) -> Result<(), Stopped> {
    sleep_until(time).await;
    out.reserve().await.map(drop).map_err(|_| Stopped)
}

enum Woken<F> {
    Order(Order<F>),
    First(Lane, Result<Incoming, LogError>),
}

/// What still fits into a batch.
struct Space {
    rows: usize,
    bytes: usize,
}

impl Space {
    fn take(&mut self, record: &Received) {
        self.rows = self.rows.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(record.bytes());
    }

    fn is_full(&self) -> bool {
        self.rows == 0 || self.bytes == 0
    }
}

/// The first record of any lane. Without lanes, waits for ever: only an order changes that.
async fn first<F: Feed>(
    lanes: &mut std::collections::BTreeMap<Lane, Held<F>>,
) -> (Lane, Result<Incoming, LogError>) {
    if lanes.is_empty() {
        return std::future::pending().await;
    }
    let waiting = lanes.iter_mut().map(|(lane, held)| {
        let lane = *lane;
        Box::pin(async move { (lane, held.feed.recv().await) })
    });
    select_all(waiting).await.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_grows_with_the_batch_and_has_an_end() {
        assert_eq!(pace(1), Duration::from_micros(4_500));
        assert_eq!(pace(10), Duration::from_millis(9));
        assert_eq!(pace(MAX_ROWS), LONGEST_PACE);
        assert_eq!(pace(usize::MAX), LONGEST_PACE);
    }
}
