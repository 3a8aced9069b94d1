//! Tells: per user in order, users side by side.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use protocol::{DlqReason, UserId};
use store::Store;
use tokio::sync::{Semaphore, mpsc};

use super::fcm::Fcm;
use super::notices::Notices;
use super::queues::{Crowded, Queues};
use super::shared::Shared;
use super::slot::Slot;
use super::told::{Fate, Item, fates};
use super::tries::Tries;
use super::webhook::Webhook;
use crate::pipeline::backoff::Stopped;
use crate::ports::Publish;

/// The task that tells.
pub(super) struct Sender<P> {
    pub(super) store: Store,
    pub(super) webhook: Option<Webhook>,
    pub(super) fcm: Option<Fcm>,
    pub(super) shared: Arc<Shared<P>>,
    /// Pushes in memory.
    pub(super) queue: usize,
    /// Users at once, but for those who pause between two tries.
    pub(super) concurrency: usize,
    /// Pushes in a delivery.
    pub(super) batch: usize,
    pub(super) give_up: Duration,
    /// A number from 0 to 1, a new one each time.
    pub(super) chance: fn() -> f64,
}

impl<P: Publish> Sender<P> {
    /// Tells what comes until nobody is left that could send anything. What has begun is waited for;
    /// what is of a partition that is over does not begin.
    pub(super) async fn run(self, mut from: mpsc::Receiver<(UserId, Item)>) {
        let me = &self;
        let slots = Arc::new(Semaphore::new(me.concurrency));
        let mut queues = Queues::default();
        let mut under_way = FuturesUnordered::new();
        // Kept from round to round: so it has its turn among those whose pause is over.
        let mut free = pin!(Slot::of(&slots));
        let mut open = true;
        loop {
            let waiting = i64::try_from(queues.len()).unwrap_or(i64::MAX);
            me.shared.metrics.waiting.set(waiting);
            if !open && queues.len() == 0 {
                return;
            }
            tokio::select! {
                Some(user) = under_way.next() => queues.end(user),
                slot = &mut free, if queues.has_turn() => {
                    free.set(Slot::of(&slots));
                    if let Some((user, items, crowded)) = queues.start(me.batch) {
                        under_way.push(async move {
                            me.deliver(user, items, crowded, slot).await;
                            user
                        });
                    }
                }
                come = from.recv(), if open && queues.len() < me.queue => match come {
                    Some((user, item)) => queues.push(user, item),
                    None => open = false,
                }
            }
        }
    }

    /// One user's pushes, until they are told or given up. When their partition is over first they
    /// are neither, and not done: whoever reads it next tells them.
    async fn deliver(&self, user: UserId, mut items: Vec<Item>, crowded: Crowded, slot: Slot) {
        // In this order: who waits for the partition's deliveries waits for this one, or it sees
        // that it is over. Items of a claim that is over may stand before those of the next one.
        let begun: Vec<_> = items
            .iter()
            .map(|item| item.partition.under_way.token())
            .collect();
        items.retain(|item| !item.partition.over.is_cancelled());
        let Some(first) = items.first() else {
            return;
        };
        let tries = Tries {
            user,
            give_up: self.give_up,
            crowded,
            chance: self.chance,
            over: &first.partition.over,
            metrics: &self.shared.metrics,
        };
        if let Ok(fates) = self.tell(&items, &tries, slot).await {
            for (item, fate) in items.iter_mut().zip(fates) {
                // One that is not buried is told again by the next one who reads it.
                let _ = self.end(item, fate).await;
            }
        }
        drop(begun);
    }

    /// Tells the webhook and FCM side by side; what became of each push.
    async fn tell(
        &self,
        items: &[Item],
        tries: &Tries<'_>,
        slot: Slot,
    ) -> Result<Vec<Fate>, Stopped> {
        let notices = Notices {
            records: items.iter().map(|item| &item.record).collect(),
            store: &self.store,
            metrics: tries.metrics,
            over: tries.over,
        };
        let told = notices.now().await?;
        let untold = || fates(&told, Fate::Nothing).collect();
        if told.iter().all(Result::is_err) {
            return Ok(untold());
        }
        let for_webhook = slot.clone();
        let webhook = async {
            match &self.webhook {
                Some(webhook) => {
                    let told = told.clone();
                    webhook.tell(told, &notices, tries, for_webhook).await
                }
                None => Ok(untold()),
            }
        };
        let fcm = async {
            match &self.fcm {
                Some(fcm) => fcm.tell(&told, &notices, tries, slot).await,
                None => Ok(untold()),
            }
        };
        // Both to their end: a request that is under way is not broken off.
        let (webhook, fcm) = tokio::join!(webhook, fcm);
        let fates = webhook?.into_iter().zip(fcm?);
        Ok(fates.map(|(webhook, fcm)| webhook.max(fcm)).collect())
    }

    async fn end(&self, item: &mut Item, fate: Fate) -> Result<(), Stopped> {
        let outcome = match fate {
            Fate::Nothing => "nothing",
            Fate::Delivered => "delivered",
            Fate::Nowhere => "nowhere",
            Fate::Refused | Fate::GivenUp => {
                let reason = DlqReason::GivenUp;
                self.shared.bury(&item.partition, &item.raw, reason).await?;
                "given_up"
            }
            Fate::Unreadable => {
                let reason = DlqReason::Unreadable;
                self.shared.bury(&item.partition, &item.raw, reason).await?;
                "unreadable"
            }
        };
        let (partition, offset) = (&item.partition, item.raw.offset);
        self.shared
            .end(partition, offset, outcome, item.span.take());
        Ok(())
    }
}
