//! Taking a lane: the claim in Postgres, where to read from, and then to its worker.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use protocol::Lane;
use store::Claim;
use tokio::sync::Notify;

use super::{FeedOf, Own, Owner};
use crate::pipeline::context::{Context, LEASE};
use crate::pipeline::progress::Progress;
use crate::pipeline::worker::{Order, Taken};
use crate::ports::{Lanes, Ledger, LogError, Outside, Source};

/// A lane that is claimed and can be read.
struct Adopted<F> {
    progress: Arc<Progress>,
    feed: F,
}

impl<O: Outside> Owner<O> {
    /// Claims lanes, side by side. False if nothing could be claimed, because Kafka does not answer.
    pub(super) async fn claim(&mut self, lanes: BTreeSet<Lane>) -> bool {
        if lanes.is_empty() {
            return true;
        }
        let topic_id = match self.context.source.topic_id().await {
            Ok(id) => id,
            Err(error) => {
                tracing::warn!(%error, "the id of the topic is not known: nothing is claimed");
                return false;
            }
        };
        let tries = lanes
            .into_iter()
            .map(|lane| adopt(&self.context, lane, &topic_id, &self.wake));
        for adopted in join_all(tries).await.into_iter().flatten() {
            self.hand_to_worker(adopted);
        }
        true
    }

    fn hand_to_worker(&mut self, adopted: Adopted<FeedOf<O>>) {
        let progress = adopted.progress;
        let (lane, epoch) = (progress.lane, progress.epoch);
        self.highest = self.highest.max(epoch);
        let to_worker = Order::Take(Taken {
            progress: Arc::clone(&progress),
            feed: adopted.feed,
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
        let leaving = false;
        self.own.insert(lane, Own { progress, leaving });
    }
}

/// Claims one lane and finds out where to read it from. `None`: somebody else has it, or it can't
/// be read, and then it is given back at once.
async fn adopt<O: Outside>(
    context: &Context<O>,
    lane: Lane,
    topic_id: &str,
    wake: &Arc<Notify>,
) -> Option<Adopted<FeedOf<O>>> {
    let name = &context.name;
    let claim = match context.ledger.claim(name, lane, topic_id, LEASE).await {
        Ok(claim) => claim?,
        Err(error) => {
            context.metrics.read_failures.inc();
            tracing::warn!(%lane, %error, kind = error.label(), "a lane was not claimed");
            return None;
        }
    };
    match open(context, lane, claim, wake).await {
        Ok(adopted) => Some(adopted),
        Err(error) => {
            tracing::warn!(%lane, %error, "a claimed lane can't be read");
            // If this fails as well, the lease runs out.
            let _ = context
                .ledger
                .release(name, lane, claim.epoch, claim.routed)
                .await;
            None
        }
    }
}

async fn open<O: Outside>(
    context: &Context<O>,
    lane: Lane,
    claim: Claim,
    wake: &Arc<Notify>,
) -> Result<Adopted<FeedOf<O>>, LogError> {
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
    Ok(Adopted { progress, feed })
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
