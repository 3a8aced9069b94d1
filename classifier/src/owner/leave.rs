//! Giving lanes up: at once when they are lost, after the last commit when they are handed over.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use protocol::Lane;
use tokio::sync::oneshot;

use super::{Own, Owner, Report};
use crate::pipeline::context::Context;
use crate::pipeline::progress::Progress;
use crate::pipeline::worker::Order;
use crate::ports::{Ledger, Outside};

/// How long a hand-over waits for deliveries under way. What is not acknowledged by then is routed
/// again by the next owner, and seen once.
const SETTLE: Duration = Duration::from_millis(150);
/// How long a worker may take over its last batch before the lane is released without it: the fence
/// refuses that batch then.
const LAST_BATCH: Duration = Duration::from_secs(2);

impl<O: Outside> Owner<O> {
    /// Takes lost lanes from their workers.
    pub(super) fn drop_lost(&mut self) {
        let lost: Vec<Lane> = self
            .own
            .iter()
            .filter(|(_, own)| own.held().is_some_and(|progress| progress.is_lost()))
            .map(|(lane, _)| *lane)
            .collect();
        for lane in lost {
            self.leave(lane, false);
        }
    }

    /// Starts to give a lane up, without waiting: the others must be renewed meanwhile. It counts
    /// as owned until its worker has let go of it.
    pub(super) fn leave(&mut self, lane: Lane, release: bool) {
        let Some(progress) = self.own.get(&lane).and_then(Own::held).cloned() else {
            // One that is being taken can't be given up yet: a later turn tries again.
            return;
        };
        let Some(dropped) = self.drop_order(lane) else {
            // Its worker has too many orders waiting: the next turn tries again.
            return;
        };
        self.own.insert(lane, Own::Leaving(Arc::clone(&progress)));
        let context = Arc::clone(&self.context);
        let (reports, epoch) = (self.reports.0.clone(), progress.epoch);
        tokio::spawn(async move {
            // An error means that the worker has ended: it holds nothing any more.
            let _ = dropped.await;
            if release {
                hand_over(&context, &progress).await;
            }
            // Nobody listens once the owner has stopped.
            let _ = reports.send(Report::Left(lane, epoch)).await;
        });
    }

    /// Tells the worker to drop a lane; what it answers through.
    fn drop_order(&self, lane: Lane) -> Option<oneshot::Receiver<()>> {
        let worker = self.worker(lane)?.try_reserve().ok()?;
        let (done, dropped) = oneshot::channel();
        worker.send(Order::Drop(lane, done));
        Some(dropped)
    }

    /// A lane has been given up.
    pub(super) fn forget(&mut self, lane: Lane, epoch: i64) {
        let Some(Own::Leaving(progress)) = self.own.remove(&lane) else {
            return;
        };
        tracing::info!(%lane, epoch, "lane left");
        if progress.is_lost() {
            self.lost.insert(lane, epoch);
            self.wake.notify_one();
        }
    }

    /// The process stops: nobody counts on it any more, and then every lane is handed over after its
    /// last commit. In this order: as long as it is counted, what it gives back is its own fair share,
    /// and nobody takes it.
    pub(super) async fn leave_all(mut self) {
        if let Err(error) = self.context.ledger.leave(&self.context.name).await {
            tracing::warn!(%error, "still on the list of classifiers until the lease runs out");
        }
        // The tasks that take lanes hear the stop as well, and give back what is not here by then.
        let _ = tokio::time::timeout(LAST_BATCH, self.taken_or_not()).await;
        let mut leaving = Vec::new();
        for (lane, own) in std::mem::take(&mut self.own) {
            let (Own::Held(progress) | Own::Leaving(progress)) = own else {
                continue;
            };
            let dropped = self.drop_order(lane);
            let context = Arc::clone(&self.context);
            leaving.push(async move {
                if let Some(dropped) = dropped {
                    // A worker that takes longer appends behind the release, and the fence refuses it.
                    let _ = tokio::time::timeout(LAST_BATCH, dropped).await;
                }
                hand_over(&context, &progress).await;
            });
        }
        join_all(leaving).await;
    }

    async fn taken_or_not(&mut self) {
        while self.own.values().any(Own::is_being_taken) {
            match self.reports.1.recv().await {
                Some(report) => self.hear(report),
                None => return,
            }
        }
    }
}

async fn hand_over<O: Outside>(context: &Context<O>, progress: &Progress) {
    // What is not routed in this time is routed by the next owner.
    let _ = tokio::time::timeout(SETTLE, progress.settled()).await;
    let (lane, epoch) = (progress.lane, progress.epoch);
    let routed = progress.routed().min(progress.applied());
    let released = context.ledger.release(&context.name, lane, epoch, routed);
    match released.await {
        Ok(true) => tracing::info!(%lane, epoch, routed, "lane released"),
        Ok(false) => tracing::info!(%lane, epoch, "lane was not held any more"),
        Err(error) => tracing::warn!(%lane, %error, "lane not released: its lease runs out"),
    }
}
