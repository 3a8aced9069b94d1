//! Everything that `classifier push` counts.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};
use service::metrics::{Metrics, RENEWALS, SECONDS};

use super::verdict::{To, Verdict};

/// How a record of `chat-push` may end.
const OUTCOMES: &[&str] = &[
    "delivered",
    "nowhere",
    "connected",
    "nothing",
    "given_up",
    "undecodable",
    "unreadable",
];

/// Its metrics.
#[derive(Debug, Clone)]
pub struct PushMetrics {
    /// Where they are, for what is measured elsewhere.
    pub(super) all: Metrics,
    /// How many homes there are.
    pub(super) homes: IntGauge,
    /// From one renewal of the partitions' leases to the next that succeeded.
    pub(super) renew_seconds: Histogram,
    records: IntCounterVec,
    requests: IntCounterVec,
    request_seconds: Histogram,
    /// Partitions that this process reads.
    pub partitions: IntGauge,
    /// Partitions that somebody else had without this process letting go of them.
    pub partitions_lost: IntCounter,
    /// Devices that were removed because FCM calls them gone.
    pub devices_removed: IntCounter,
    /// Questions to Postgres that failed and were repeated.
    pub store_failures: IntCounter,
    /// Pushes in memory.
    pub waiting: IntGauge,
    /// Look-ups of routes that failed and were repeated.
    pub route_failures: IntCounter,
    /// Records for homes and `chat-dlq` that were not acknowledged and were sent again.
    pub publish_failures: IntCounter,
    /// Offsets that could not be committed.
    pub commit_failures: IntCounter,
}

impl PushMetrics {
    /// Registers all of them.
    pub fn new(metrics: &Metrics) -> Self {
        let requests = metrics.counters_by(
            "push_requests_total",
            "Requests to the webhook and to FCM by what their answer means.",
            &["to", "verdict"],
        );
        for to in To::ALL {
            for verdict in Verdict::LABELS {
                let _ = requests.with_label_values(&[to.label(), verdict]);
            }
        }
        Self {
            all: metrics.clone(),
            homes: metrics.gauge("switchboard_homes", "How many homes there are."),
            renew_seconds: metrics.histogram(
                "push_partition_renew_seconds",
                "From one renewal of the partitions' leases to the next that succeeded.",
                RENEWALS,
            ),
            records: metrics.counters(
                "push_records_total",
                "Records of chat-push by their one outcome.",
                "outcome",
                OUTCOMES,
            ),
            requests,
            request_seconds: metrics.histogram(
                "push_request_seconds",
                "Time of one request to the webhook or to FCM.",
                SECONDS,
            ),
            partitions: metrics.gauge(
                "push_partitions",
                "Partitions of chat-push that this process reads.",
            ),
            partitions_lost: metrics.counter(
                "push_partitions_lost_total",
                "Partitions that somebody else had without this process letting go of them.",
            ),
            devices_removed: metrics.counter(
                "push_devices_removed_total",
                "Devices that were removed because FCM calls them gone.",
            ),
            store_failures: metrics.counter(
                "push_store_failures_total",
                "Questions to Postgres that failed and were repeated.",
            ),
            waiting: metrics.gauge("push_waiting", "Pushes that wait or are under way."),
            route_failures: metrics.counter(
                "push_route_failures_total",
                "Look-ups of routes that failed and were repeated.",
            ),
            publish_failures: metrics.counter(
                "push_publish_failures_total",
                "Records for homes and chat-dlq that were not acknowledged and were sent again.",
            ),
            commit_failures: metrics.counter(
                "push_commit_failures_total",
                "Offsets that could not be committed.",
            ),
        }
    }

    /// Counts a record that is done.
    pub(super) fn ended(&self, outcome: &str) {
        self.records.with_label_values(&[outcome]).inc();
    }

    /// Counts a request.
    pub(super) fn requested(&self, to: &str, verdict: &Verdict, took: Duration) {
        self.request_seconds.observe(took.as_secs_f64());
        let labels = [to, verdict.label()];
        self.requests.with_label_values(&labels).inc();
    }

    /// The records that ended that way.
    pub fn records(&self, outcome: &str) -> u64 {
        self.records.with_label_values(&[outcome]).get()
    }

    /// The requests to `webhook` or `fcm` that were judged so.
    pub fn requests(&self, to: &str, verdict: &str) -> u64 {
        self.requests.with_label_values(&[to, verdict]).get()
    }
}

#[cfg(test)]
mod tests {
    use service::clock::Clock;

    use super::*;
    use crate::push::oldest::Oldest;

    #[test]
    fn every_metric_is_documented() {
        let metrics = Metrics::new();
        PushMetrics::new(&metrics);
        Oldest::new(&metrics, Clock::system());
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
        let text = std::fs::read_to_string(path).unwrap();
        let names = metrics.names();
        assert!(names.len() > 10, "{names:?}");
        for name in names {
            let documented = [format!("`{name}`"), format!("`{name}{{")];
            assert!(
                documented.iter().any(|one| text.contains(one)),
                "{name} is not in {path}"
            );
        }
    }
}
