//! Taking a lane: the claim in Postgres, where to read from, and then to its worker. All that asks
//! Kafka is done in tasks that report to the owner, each lane as soon as it is there.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use protocol::Lane;
use store::Claim;
use tokio::sync::{Notify, mpsc};

use super::{FeedOf, Own, Owner, Report};
use crate::pipeline::context::{Context, LEASE};
use crate::pipeline::progress::Progress;
use crate::pipeline::worker::{Order, Taken};
use crate::ports::{Lanes, Ledger, LogError, Outside, Source};

impl<O: Outside> Owner<O> {
    /// Starts to claim lanes, side by side.
    pub(super) fn claim(&mut self, lanes: BTreeSet<Lane>) {
        if lanes.is_empty() {
            return;
        }
        let claiming = lanes.iter().map(|lane| (*lane, Own::Claiming));
        self.own.extend(claiming);
        let adoption = Adoption {
            context: Arc::clone(&self.context),
            wake: Arc::clone(&self.wake),
            reports: self.reports.0.clone(),
        };
        tokio::spawn(adoption.run(lanes));
    }

    /// A claim whose lane can be read; unless it was lost meanwhile.
    pub(super) fn hand_to_worker(&mut self, progress: Arc<Progress>, feed: FeedOf<O>) {
        let (lane, epoch) = (progress.lane, progress.epoch);
        let follows = match self.own.remove(&lane) {
            Some(Own::Opening(claim, follows)) if claim.epoch == epoch => follows,
            _ => return,
        };
        let to_worker = Order::Take(Taken {
            progress: Arc::clone(&progress),
            follows,
            feed,
        });
        let taken = self
            .worker(lane)
            .is_some_and(|worker| worker.try_send(to_worker).is_ok());
        if !taken {
            // Far behind with its orders: the claim is given up as a lost one is.
            tracing::warn!(%lane, "no worker took the lane");
            progress.lose();
        }
        tracing::info!(
            %lane, epoch, applied = progress.applied(), routed = progress.routed(), "lane taken"
        );
        self.own.insert(lane, Own::Held(progress));
    }
}

/// The task that takes some lanes. What it has claimed when the process stops it gives back.
struct Adoption<O: Outside> {
    context: Arc<Context<O>>,
    wake: Arc<Notify>,
    reports: mpsc::Sender<Report<FeedOf<O>>>,
}

impl<O: Outside> Adoption<O> {
    async fn run(self, lanes: BTreeSet<Lane>) {
        let topic_id = self.unless_stopped(self.context.source.topic_id()).await;
        self.report(Report::Asked(topic_id.is_ok())).await;
        match topic_id {
            Ok(id) => {
                join_all(lanes.into_iter().map(|lane| self.adopt(lane, &id))).await;
            }
            Err(error) => {
                tracing::warn!(%error, "the id of the topic is not known: nothing is claimed");
                for lane in lanes {
                    self.report(Report::NotTaken(lane)).await;
                }
            }
        }
    }

    /// Claims one lane and finds out where to read it from. One that can't be read is given back at
    /// once.
    async fn adopt(&self, lane: Lane, topic_id: &str) {
        let context = &self.context;
        let claimed = context.ledger.claim(&context.name, lane, topic_id, LEASE);
        let claim = match claimed.await {
            Ok(Some(claim)) => claim,
            Ok(None) => return self.report(Report::NotTaken(lane)).await,
            Err(error) => {
                context.metrics.read_failures.inc();
                tracing::warn!(%lane, %error, kind = error.label(), "a lane was not claimed");
                return self.report(Report::NotTaken(lane)).await;
            }
        };
        self.report(Report::Claimed(lane, claim)).await;
        let opened = open(context, lane, claim, &self.wake);
        match self.unless_stopped(opened).await {
            Ok((progress, feed)) => {
                let opened = Report::Opened(progress, feed);
                if self.reports.send(opened).await.is_err() {
                    self.give_back(lane, claim).await;
                }
            }
            Err(error) => {
                tracing::warn!(%lane, %error, "a claimed lane can't be read");
                self.give_back(lane, claim).await;
                self.report(Report::NotTaken(lane)).await;
            }
        }
    }

    async fn unless_stopped<T>(
        &self,
        asked: impl Future<Output = Result<T, LogError>>,
    ) -> Result<T, LogError> {
        tokio::select! {
            biased;
            () = self.context.stop.cancelled() => Err(LogError("the process stops".to_owned())),
            answer = asked => answer,
        }
    }

    /// If this fails, the lease runs out.
    async fn give_back(&self, lane: Lane, claim: Claim) {
        let context = &self.context;
        let (epoch, routed) = (claim.epoch, claim.routed);
        let released = context.ledger.release(&context.name, lane, epoch, routed);
        let _ = released.await;
    }

    /// Nobody listens once the owner has ended.
    async fn report(&self, report: Report<FeedOf<O>>) {
        let _ = self.reports.send(report).await;
    }
}

async fn open<O: Outside>(
    context: &Context<O>,
    lane: Lane,
    claim: Claim,
    wake: &Arc<Notify>,
) -> Result<(Arc<Progress>, FeedOf<O>), LogError> {
    let (low, high) = context.source.bounds(Source::Commands, lane).await?;
    let claim = within_log(context, lane, claim, high).await?;
    let wanted = claim.routed.min(claim.applied) + 1;
    let start = wanted.max(low);
    if start > wanted {
        tracing::error!(
            %lane, wanted, first = low,
            "records were deleted from the lane before they were routed"
        );
    }
    let feed = context.source.add(Source::Commands, lane, start).await?;
    let progress = Arc::new(Progress::new(lane, claim, Arc::clone(wake)));
    Ok((progress, feed))
}

/// An `applied` at or beyond the log's end means that Kafka has lost what it had acknowledged. Set to
/// the end, so that the lane goes on; an operator has to know.
async fn within_log<O: Outside>(
    context: &Context<O>,
    lane: Lane,
    claim: Claim,
    high: i64,
) -> Result<Claim, LogError> {
    let last = high - 1;
    if claim.applied <= last {
        return Ok(claim);
    }
    context.metrics.beyond_end.inc();
    tracing::error!(
        %lane, applied = claim.applied, last,
        "ALARM: applied lies beyond the log's end: acknowledged records are gone"
    );
    let cut = context
        .ledger
        .cut_back(&context.name, lane, claim.epoch, last)
        .await;
    match cut {
        Ok(true) => Ok(Claim {
            applied: last,
            routed: claim.routed.min(last),
            ..claim
        }),
        Ok(false) => Err(LogError("the claim is over already".to_owned())),
        Err(error) => Err(LogError(error.to_string())),
    }
}
