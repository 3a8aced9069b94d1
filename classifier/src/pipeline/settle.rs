//! Waits until everything of a batch is acknowledged, batch after batch, and only then moves
//! `routed`: a crash before that routes it again (trap 4).

use std::sync::Arc;

use tokio::sync::mpsc;

use super::context::Context;
use super::queue::acknowledged;
use super::route::Sent;
use crate::ports::Outside;

/// Settles batches in the order of their commits. Ends when the router has.
pub async fn run<O: Outside>(context: Arc<Context<O>>, mut sent: mpsc::Receiver<Sent>) {
    while let Some(batch) = sent.recv().await {
        if acknowledged(&context, batch.records).await.is_err() {
            return;
        }
        for (progress, offset) in &batch.upto {
            progress.settle(*offset);
        }
        let seconds = batch.at.elapsed().as_secs_f64();
        context.metrics.route_seconds.observe(seconds);
    }
}
