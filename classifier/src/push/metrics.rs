//! Everything that `classifier push` counts.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};
use service::metrics::{Metrics, SECONDS};

use super::webhook::Verdict;

/// Its metrics.
#[derive(Debug, Clone)]
pub struct PushMetrics {
    records: IntCounterVec,
    requests: IntCounterVec,
    /// Seconds that one request took.
    pub request_seconds: Histogram,
    /// Pushes in memory.
    pub waiting: IntGauge,
    /// Look-ups of routes that failed and were repeated.
    pub route_failures: IntCounter,
    /// Records for `chat-dlq` that were not acknowledged and were sent again.
    pub publish_failures: IntCounter,
    /// Offsets that could not be committed.
    pub commit_failures: IntCounter,
}

impl PushMetrics {
    /// Registers all of them.
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            records: metrics.counters(
                "push_records_total",
                "Records of chat-push by their one outcome.",
                "outcome",
                &["delivered", "connected", "given_up", "undecodable"],
            ),
            requests: metrics.counters(
                "push_requests_total",
                "Requests to the webhook by what their answer means.",
                "verdict",
                Verdict::LABELS,
            ),
            request_seconds: metrics.histogram(
                "push_request_seconds",
                "Time of one request to the webhook.",
                SECONDS,
            ),
            waiting: metrics.gauge("push_waiting", "Pushes that wait or are under way."),
            route_failures: metrics.counter(
                "push_route_failures_total",
                "Look-ups of routes that failed and were repeated.",
            ),
            publish_failures: metrics.counter(
                "push_publish_failures_total",
                "Records for chat-dlq that were not acknowledged and were sent again.",
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
    pub(super) fn requested(&self, verdict: &Verdict) {
        self.requests.with_label_values(&[verdict.label()]).inc();
    }

    /// The records that ended that way.
    pub fn records(&self, outcome: &str) -> u64 {
        self.records.with_label_values(&[outcome]).get()
    }

    /// The requests that ended that way.
    pub fn requests(&self, verdict: &str) -> u64 {
        self.requests.with_label_values(&[verdict]).get()
    }
}
