//! Metrics of one service, on a registry of its own: two services in one test process don't mix.

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

/// Bounds in seconds for what should take milliseconds: 0.5 ms to 10 s.
pub const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
];

/// Bounds for the size of a batch: 1 to 2,000.
pub const BATCH: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0,
];

/// Makes metrics and renders them; cloning shares the registry.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Registry);

impl Metrics {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// A counter.
    pub fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help))
    }

    /// Counters by one label, whose values are all there from the start, at 0: a rate over a
    /// series that is not there yet is no zero.
    pub fn counters(&self, name: &str, help: &str, label: &str, values: &[&str]) -> IntCounterVec {
        let counters = self.register(IntCounterVec::new(Opts::new(name, help), &[label]));
        for value in values {
            let _ = counters.with_label_values(&[value]);
        }
        counters
    }

    /// A gauge.
    pub fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help))
    }

    /// Gauges by one label.
    pub fn gauges(&self, name: &str, help: &str, label: &str) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(name, help), &[label]))
    }

    /// A histogram with these bounds, as [`SECONDS`] or [`BATCH`].
    pub fn histogram(&self, name: &str, help: &str, bounds: &[f64]) -> Histogram {
        self.register(Histogram::with_opts(
            HistogramOpts::new(name, help).buckets(bounds.to_vec()),
        ))
    }

    /// All of it, as Prometheus reads it.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.0.gather(), &mut text) {
            tracing::error!(%error, "metrics could not be rendered");
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    pub(crate) fn collect(&self, collector: Box<dyn prometheus::core::Collector>) {
        if let Err(error) = self.0.register(collector) {
            tracing::warn!(%error, "a collector is not registered");
        }
    }

    fn register<M>(&self, made: prometheus::Result<M>) -> M
    where
        M: prometheus::core::Collector + Clone + 'static,
    {
        // A bad or repeated name is a slip in the code that the first start finds.
        let metric = made.expect("a metric's name and labels are valid");
        self.0
            .register(Box::new(metric.clone()))
            .expect("a metric is registered once");
        metric
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_there_at_zero_and_registries_are_apart() {
        let one = Metrics::new();
        let other = Metrics::new();
        let outcomes = one.counters(
            "outcomes_total",
            "Outcomes.",
            "kind",
            &["stored", "rejected"],
        );
        other.counters("outcomes_total", "Outcomes.", "kind", &["stored"]);
        outcomes.with_label_values(&["stored"]).inc();
        let text = one.render();
        assert!(text.contains("outcomes_total{kind=\"stored\"} 1"), "{text}");
        assert!(
            text.contains("outcomes_total{kind=\"rejected\"} 0"),
            "{text}"
        );
        assert!(other.render().contains("outcomes_total{kind=\"stored\"} 0"));
    }
}
