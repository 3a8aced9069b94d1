//! Metrics of one service, on a registry of its own: two services in one test process don't mix.

mod read;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::{
    Encoder as _, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use read::Read;

/// Bounds in seconds for what should take milliseconds: 0.5 ms to 10 s.
pub const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
];

/// Bounds for the size of a batch: 1 to 2,000.
pub const BATCH: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0,
];

/// Bounds in seconds for the time between two renewals of a lease: several renewals to a lease of a few
/// seconds, so what is late lies between half a second and the lease.
pub const RENEWALS: &[f64] = &[0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 30.0];

/// Makes metrics and renders them; cloning shares the registry.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    registry: Registry,
    names: Arc<Mutex<BTreeSet<String>>>,
}

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

    /// Gauges by several labels, none of which is there before it is used.
    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    /// Gauges by one label, read when metrics are asked for: what is not among them then is not there.
    pub fn gauges_read<L: ToString, I: IntoIterator<Item = (L, i64)>>(
        &self,
        name: &str,
        help: &str,
        label: &str,
        read: impl Fn() -> I + Send + Sync + 'static,
    ) {
        let (opts, label) = (Opts::new(name, help), label.to_owned());
        let shape = IntGaugeVec::new(opts.clone(), &[label.as_str()]);
        let read = move || {
            // Made anew each time: a label that is gone is to be gone.
            let gauges = IntGaugeVec::new(opts.clone(), &[label.as_str()]).ok()?;
            for (value, figure) in read() {
                let value = value.to_string();
                gauges.with_label_values(&[&value]).set(figure);
            }
            Some(gauges.collect())
        };
        self.register(shape.map(|shape| Read::new([&shape], read)));
    }

    /// Gauges that are read together, each with its help, when metrics are asked for.
    pub fn figures<const N: usize>(
        &self,
        named: [(&str, &str); N],
        read: impl Fn() -> [f64; N] + Send + Sync + 'static,
    ) {
        let gauges = named.map(|(name, help)| Gauge::new(name, help));
        let gauges: prometheus::Result<Vec<Gauge>> = gauges.into_iter().collect();
        self.register(gauges.map(|gauges| {
            let shapes = gauges.clone();
            let read = move || {
                let set = gauges.iter().zip(read()).map(|(gauge, figure)| {
                    gauge.set(figure);
                    gauge.collect()
                });
                Some(set.flatten().collect())
            };
            Read::new(&shapes, read)
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
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics could not be rendered");
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Every metric's name, also of those that have nothing to show yet.
    pub fn names(&self) -> Vec<String> {
        self.noted(|names| names.iter().cloned().collect())
    }

    pub(crate) fn collect(&self, collector: Box<dyn Collector>) {
        self.note(&*collector);
        if let Err(error) = self.registry.register(collector) {
            tracing::warn!(%error, "a collector is not registered");
        }
    }

    fn register<M>(&self, made: prometheus::Result<M>) -> M
    where
        M: Collector + Clone + 'static,
    {
        // A bad or repeated name is a slip in the code that the first start finds.
        let metric = made.expect("a metric's name and labels are valid");
        self.note(&metric);
        self.registry
            .register(Box::new(metric.clone()))
            .expect("a metric is registered once");
        metric
    }

    fn note(&self, collector: &dyn Collector) {
        let all = collector.desc().into_iter();
        self.noted(|names| names.extend(all.map(|desc| desc.fq_name.clone())));
    }

    fn noted<T>(&self, with: impl FnOnce(&mut BTreeSet<String>) -> T) -> T {
        with(&mut self.names.lock().unwrap_or_else(PoisonError::into_inner))
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

    #[test]
    fn what_is_read_is_read_anew_each_time_and_named_before() {
        let (metrics, lanes) = (Metrics::new(), Arc::new(Mutex::new(vec![(1, 5), (2, 7)])));
        let read = Arc::clone(&lanes);
        metrics.gauges_read("behind", "Behind.", "lane", move || {
            read.lock().unwrap().clone()
        });
        metrics.figures([("frames", "Frames."), ("share", "Share.")], || [3.0, 0.25]);
        let text = metrics.render();
        for line in [
            "behind{lane=\"1\"} 5",
            "behind{lane=\"2\"} 7",
            "frames 3",
            "share 0.25",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in {text}");
        }
        *lanes.lock().unwrap() = vec![(2, 8)];
        let text = metrics.render();
        assert!(text.contains("behind{lane=\"2\"} 8"), "{text}");
        assert!(!text.contains("lane=\"1\""), "{text}");
        lanes.lock().unwrap().clear();
        assert_eq!(metrics.names(), ["behind", "frames", "share"]);
    }
}
