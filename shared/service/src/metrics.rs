//! Metrics of one service, on a registry of its own: two services in one test process don't mix.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
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

    /// Counters by several labels, none of which is there before it is used.
    pub fn counters_by(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(name, help), labels))
    }

    /// A gauge.
    pub fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help))
    }

    /// Gauges by one label, read when metrics are asked for.
    pub fn gauges_read<const N: usize>(
        &self,
        name: &str,
        help: &str,
        label: &str,
        read: impl Fn() -> [(&'static str, usize); N] + Send + Sync + 'static,
    ) {
        let gauges = IntGaugeVec::new(Opts::new(name, help), &[label]);
        self.register(gauges.map(|gauges| Read {
            gauges,
            read: Arc::new(read),
        }));
    }

    /// A histogram with these bounds, as [`SECONDS`] or [`BATCH`].
    pub fn histogram(&self, name: &str, help: &str, bounds: &[f64]) -> Histogram {
        self.register(Histogram::with_opts(
            HistogramOpts::new(name, help).buckets(bounds.to_vec()),
        ))
    }

    /// Histograms by one label, whose values are all there from the start.
    pub fn histograms(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: &[&str],
        bounds: &[f64],
    ) -> HistogramVec {
        let histograms = self.register(HistogramVec::new(
            HistogramOpts::new(name, help).buckets(bounds.to_vec()),
            &[label],
        ));
        for value in values {
            let _ = histograms.with_label_values(&[value]);
        }
        histograms
    }

    /// All of it, as Prometheus reads it.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.0.gather(), &mut text) {
            tracing::error!(%error, "metrics could not be rendered");
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    pub(crate) fn collect(&self, collector: Box<dyn Collector>) {
        if let Err(error) = self.0.register(collector) {
            tracing::warn!(%error, "a collector is not registered");
        }
    }

    fn register<M>(&self, made: prometheus::Result<M>) -> M
    where
        M: Collector + Clone + 'static,
    {
        // A bad or repeated name is a slip in the code that the first start finds.
        let metric = made.expect("a metric's name and labels are valid");
        self.0
            .register(Box::new(metric.clone()))
            .expect("a metric is registered once");
        metric
    }
}

/// Gauges that are set when they are collected.
struct Read<F> {
    gauges: IntGaugeVec,
    read: Arc<F>,
}

impl<F> Clone for Read<F> {
    fn clone(&self) -> Self {
        Self {
            gauges: self.gauges.clone(),
            read: Arc::clone(&self.read),
        }
    }
}

impl<const N: usize, F: Fn() -> [(&'static str, usize); N] + Send + Sync> Collector for Read<F> {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for (value, count) in (self.read)() {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.gauges.with_label_values(&[value]).set(count);
        }
        self.gauges.collect()
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
