//! Waits until everything of a batch is acknowledged, batch after batch, and only then moves
//! `routed`: a crash before that routes it again (trap 4).

use std::sync::Arc;

use tokio::sync::mpsc;

use super::context::Context;
use super::queue::acknowledged;
use super::route::{End, Sent};
use crate::ports::Outside;

/// Settles batches in the order of their commits. Ends when the router has.
pub async fn run<O: Outside>(context: Arc<Context<O>>, mut sent: mpsc::Receiver<Sent>) {
    while let Some(piece) = sent.recv().await {
        if acknowledged(&context, piece.records).await.is_err() {
            return;
        }
        let Some(End { at, upto }) = piece.end else {
            continue;
        };
        for (progress, offset) in &upto {
            progress.settle(*offset);
        }
        let seconds = at.elapsed().as_secs_f64();
        context.metrics.route_seconds.observe(seconds);
    }
}
