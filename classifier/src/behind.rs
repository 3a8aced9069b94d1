//! How far the lanes of this process are behind what was accepted for them, as a metric.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::Lane;
use service::kafka::Ends;
use service::metrics::Metrics;

use crate::pipeline::context::Context;
use crate::pipeline::progress::Progress;
use crate::ports::{Lanes, LogError, Outside};

/// The lanes that this process owns, and where they end; cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Behind {
    held: Arc<Mutex<BTreeMap<i32, Arc<Progress>>>>,
    ends: Ends,
}

impl Behind {
    /// Adds `classifier_lane_behind`: for each lane that is owned, from what is routed to its end.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let behind = Self::default();
        let read = behind.clone();
        metrics.gauges_read(
            "classifier_lane_behind",
            "Records of a lane that this process owns which are not decided, stored and routed yet.",
            "lane",
            move || read.figures(),
        );
        behind
    }

    /// How many records each owned lane is behind, of those lanes whose end is known.
    pub fn figures(&self) -> Vec<(i32, i64)> {
        self.ends.behind(self.positions())
    }

    /// These lanes are owned now, and no others.
    pub(crate) fn hold(&self, lanes: impl Iterator<Item = Arc<Progress>>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) =
            lanes.map(|progress| (progress.lane.0, progress)).collect();
    }

    /// The offset behind what is routed, of each lane.
    fn positions(&self) -> Vec<(i32, i64)> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let next = |progress: &Progress| progress.routed().min(progress.applied()) + 1;
        held.iter()
            .map(|(lane, progress)| (*lane, next(progress)))
            .collect()
    }

    fn lanes(&self) -> Vec<i32> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.keys().copied().collect()
    }
}

/// Keeps asking where the lanes end.
pub(crate) async fn follow<O: Outside>(context: Arc<Context<O>>) {
    let behind = context.metrics.behind.clone();
    let ends = behind.ends.clone();
    let ask = move |lanes: Vec<i32>| {
        let context = Arc::clone(&context);
        async move {
            let lanes: Vec<Lane> = lanes.into_iter().map(Lane).collect();
            let ends = context.source.ends(&lanes).await?;
            Ok::<_, LogError>(ends.into_iter().map(|(lane, end)| (lane.0, end)).collect())
        }
    };
    ends.follow(move || behind.lanes(), ask).await;
}
