//! Metrics whose figures are read when they are asked for.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

/// Reads figures, or knows none.
type Figures = dyn Fn() -> Option<Vec<MetricFamily>> + Send + Sync;

/// What is registered in place of metrics that are made anew with each reading.
#[derive(Clone)]
pub(super) struct Read {
    shape: Vec<Desc>,
    read: Arc<Figures>,
}

impl Read {
    /// Reads what is shaped like `shapes`.
    pub(super) fn new<'a, C: Collector + 'a>(
        shapes: impl IntoIterator<Item = &'a C>,
        read: impl Fn() -> Option<Vec<MetricFamily>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            shape: shapes
                .into_iter()
                .flat_map(Collector::desc)
                .cloned()
                .collect(),
            read: Arc::new(read),
        }
    }
}

impl Collector for Read {
    fn desc(&self) -> Vec<&Desc> {
        self.shape.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        (self.read)().unwrap_or_default()
    }
}
