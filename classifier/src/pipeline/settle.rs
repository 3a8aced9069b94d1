//! Waits until everything of a batch is acknowledged, batch after batch, and only then moves
//! `routed`: a crash before that routes it again (trap 4).

use std::sync::Arc;

use tokio::sync::mpsc;

use super::backoff::{Backoff, Stopped};
use super::context::Context;
use super::route::{Ack, Item, Sent, homes_of, send};
use crate::ports::{LogError, Outside};

/// Settles batches in the order of their commits. Ends when the router has.
pub async fn run<O: Outside>(context: Arc<Context<O>>, mut sent: mpsc::Receiver<Sent>) {
    while let Some(batch) = sent.recv().await {
        for (item, acks) in batch.items {
            if settle(&context, &item, acks).await.is_err() {
                return;
            }
        }
        for (progress, offset) in &batch.upto {
            progress.settle(*offset);
        }
        let seconds = batch.at.elapsed().as_secs_f64();
        context.metrics.route_seconds.observe(seconds);
    }
}

/// Waits for an item's acknowledgements. One that fails is unknown: the whole item is sent again, to
/// where its recipients are by then. Readers drop what they have seen and read gaps (I5), so the
/// records behind it need not wait.
async fn settle<O: Outside>(
    context: &Context<O>,
    item: &Item,
    mut acks: Vec<Ack>,
) -> Result<(), Stopped> {
    let mut backoff = Backoff::default();
    while let Err(error) = all(acks).await {
        context.metrics.publish_failures.inc();
        tracing::warn!(%error, "a record was not acknowledged");
        backoff.wait(&context.stop).await?;
        let homes = homes_of(context, std::slice::from_ref(item)).await?;
        acks = send(context, item, &homes);
    }
    Ok(())
}

async fn all(acks: Vec<Ack>) -> Result<(), LogError> {
    let mut result = Ok(());
    for ack in acks {
        // Waited for to the last one: what is sent again must not overtake the first attempt.
        let acked = ack.await;
        result = result.and(acked);
    }
    result
}
