//! Tells the webhook: per user in order, users side by side.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use protocol::{DlqReason, UserId};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::patience::Patience;
use super::queues::Queues;
use super::webhook::{Verdict, Webhook, body};
use super::{Item, Shared};
use crate::pipeline::backoff::Stopped;
use crate::ports::Publish;

/// The task that tells the webhook.
pub(super) struct Sender<P> {
    pub(super) webhook: Webhook,
    pub(super) shared: Arc<Shared<P>>,
    /// Pushes in memory.
    pub(super) queue: usize,
    /// Requests at once.
    pub(super) concurrency: usize,
    /// Pushes in a request.
    pub(super) batch: usize,
    pub(super) give_up: Duration,
    /// A number from 0 to 1, a new one each time.
    pub(super) chance: fn() -> f64,
}

impl<P: Publish> Sender<P> {
    /// Tells what comes, until the process stops; requests that are under way then are waited for,
    /// what has not begun is left to the next process.
    pub(super) async fn run(self, mut from: mpsc::Receiver<Item>) {
        let (me, stop) = (&self, self.shared.stop.clone());
        let mut queues = Queues::default();
        let mut under_way = FuturesUnordered::new();
        loop {
            while !stop.is_cancelled() && under_way.len() < me.concurrency {
                let Some((user, items)) = queues.start(me.batch) else {
                    break;
                };
                under_way.push(async move {
                    me.deliver(user, items).await;
                    user
                });
            }
            me.shared
                .metrics
                .waiting
                .set(i64::try_from(queues.len()).unwrap_or(i64::MAX));
            if stop.is_cancelled() && under_way.is_empty() {
                return;
            }
            tokio::select! {
                Some(user) = under_way.next() => queues.end(user),
                Some(item) = from.recv(), if !stop.is_cancelled() && queues.len() < me.queue => {
                    queues.push(item.record.user, item);
                }
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
        }
    }

    /// One user's pushes, until the webhook has them or they are given up. When the process stops
    /// they are neither, and are not done.
    async fn deliver(&self, user: UserId, items: Vec<Item>) {
        let body = body(user, items.iter().map(|item| &item.record));
        let mut patience = Patience::new(self.give_up);
        let began = Instant::now();
        let why = loop {
            let asked_at = Instant::now();
            let verdict = self.webhook.post(body.clone()).await;
            let took = asked_at.elapsed();
            self.shared
                .metrics
                .request_seconds
                .observe(took.as_secs_f64());
            self.shared.metrics.requested(&verdict);
            match verdict {
                Verdict::Taken => {
                    items.iter().for_each(|item| self.end(item, "delivered"));
                    return;
                }
                Verdict::Refused { status } => break format!("status {status}"),
                Verdict::Again { why, asked } => {
                    let Some(pause) = patience.next(began.elapsed(), asked, (self.chance)()) else {
                        break why;
                    };
                    tracing::warn!(%user, why, ?pause, "the webhook is asked again");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.shared.stop.cancelled() => return,
                    }
                }
            }
        };
        tracing::error!(%user, why, pushes = items.len(), "pushes are given up");
        // One that is not buried is told again by the next process.
        let _ = self.give_up(&items).await;
    }

    async fn give_up(&self, items: &[Item]) -> Result<(), Stopped> {
        for item in items {
            let (partition, reason) = (item.partition.number, DlqReason::GivenUp);
            self.shared.bury(partition, &item.raw, reason).await?;
            self.end(item, "given_up");
        }
        Ok(())
    }

    fn end(&self, item: &Item, outcome: &str) {
        self.shared.metrics.ended(outcome);
        item.partition.end(item.raw.offset);
    }
}
