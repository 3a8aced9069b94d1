//! Everything a classifier counts, by name, in one place.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};
use protocol::DlqReason;
use service::metrics::{BATCH, Metrics, RENEWALS, SECONDS};

use crate::behind::Behind;
use crate::pipeline::decide::Tally;

/// A classifier's metrics.
#[derive(Debug, Clone)]
pub struct ClassifierMetrics {
    commands: IntCounterVec,
    /// Commands decided before, routed and answered again.
    pub redelivered: IntCounter,
    dead_letters: IntCounterVec,
    unknown_homes: IntCounterVec,
    /// Seconds that one append took.
    pub append_seconds: Histogram,
    /// Commands in one append.
    pub append_rows: Histogram,
    /// Appends that failed, by what follows.
    pub append_failures: IntCounterVec,
    /// Reads from Postgres that failed.
    pub read_failures: IntCounter,
    /// How many lanes there are.
    all_lanes: IntGauge,
    /// How many homes there are.
    all_homes: IntGauge,
    /// Lanes that this process owns.
    pub lanes: IntGauge,
    /// From one renewal of the lanes' leases to the next that succeeded.
    pub lane_renew_seconds: Histogram,
    /// How far the owned lanes are behind.
    pub behind: Behind,
    /// Claims that ended unasked: fenced, stale, unknown, or unreadable.
    pub lanes_lost: IntCounter,
    /// Claims whose `applied` lay beyond the log's end: Kafka has lost acknowledged records.
    pub beyond_end: IntCounter,
    /// Records sent to homes, answers included.
    pub to_homes: IntCounter,
    /// Records sent to the broadcast partition.
    pub broadcast: IntCounter,
    /// Recipients without a route, or of whom nothing was known.
    pub pushed: IntCounter,
    /// Look-ups of routes that failed.
    pub route_failures: IntCounter,
    /// Records that were not acknowledged and were sent again.
    pub publish_failures: IntCounter,
    /// Seconds from a commit until all its deliveries were acknowledged.
    pub route_seconds: Histogram,
    /// Typing and read marks, by what became of them.
    pub signals: IntCounterVec,
    /// Offsets that could not be committed for lag tools.
    pub commit_failures: IntCounter,
}

impl ClassifierMetrics {
    /// Registers all of them.
    pub fn new(metrics: &Metrics) -> Self {
        let reasons: Vec<&str> = DlqReason::ALL.iter().map(|r| r.as_str()).collect();
        Self {
            commands: metrics.counters(
                "classifier_commands_total",
                "Commands by their one outcome.",
                "outcome",
                &["stored", "duplicate", "rejected", "dead_lettered"],
            ),
            redelivered: metrics.counter(
                "classifier_redelivered_total",
                "Records at or below applied: routed and answered again, not decided.",
            ),
            dead_letters: metrics.counters(
                "classifier_dead_letters_total",
                "Records sent to chat-dlq.",
                "reason",
                &reasons,
            ),
            unknown_homes: metrics.counters(
                "classifier_unknown_homes_total",
                "Homes named by a command's origin or by a route that do not exist.",
                "named_by",
                &["origin", "route"],
            ),
            append_seconds: metrics.histogram(
                "classifier_append_seconds",
                "Time of one append.",
                SECONDS,
            ),
            append_rows: metrics.histogram(
                "classifier_append_commands",
                "Commands in one append.",
                BATCH,
            ),
            append_failures: metrics.counters(
                "classifier_append_failures_total",
                "Appends that failed.",
                "kind",
                &[
                    "fenced",
                    "id_taken",
                    "seq_taken",
                    "bad_data",
                    "unknown",
                    "unavailable",
                ],
            ),
            read_failures: metrics.counter(
                "classifier_read_failures_total",
                "Reads from Postgres that failed.",
            ),
            all_lanes: metrics.gauge("switchboard_lanes", "How many lanes there are."),
            all_homes: metrics.gauge("switchboard_homes", "How many homes there are."),
            lanes: metrics.gauge("classifier_lanes", "Lanes owned."),
            lane_renew_seconds: metrics.histogram(
                "classifier_lane_renew_seconds",
                "From one renewal of the lanes' leases to the next that succeeded.",
                RENEWALS,
            ),
            behind: Behind::new(metrics),
            lanes_lost: metrics.counter(
                "classifier_lanes_lost_total",
                "Claims of lanes that ended unasked.",
            ),
            beyond_end: metrics.counter(
                "classifier_applied_beyond_end_total",
                "Claims whose applied lay beyond the log's end: Kafka lost acknowledged records.",
            ),
            to_homes: metrics.counter("classifier_home_records_total", "Records sent to homes."),
            broadcast: metrics.counter(
                "classifier_broadcast_records_total",
                "Records sent to all gateways, because it was not known where their users are.",
            ),
            pushed: metrics.counter(
                "classifier_push_records_total",
                "Records for recipients without a route, or of whom nothing was known.",
            ),
            route_failures: metrics.counter(
                "classifier_route_failures_total",
                "Look-ups of routes that failed.",
            ),
            publish_failures: metrics.counter(
                "classifier_publish_failures_total",
                "Records that were not acknowledged and were sent again.",
            ),
            route_seconds: metrics.histogram(
                "classifier_route_seconds",
                "Time from a commit until all its deliveries are acknowledged.",
                SECONDS,
            ),
            signals: metrics.counters(
                "classifier_signals_total",
                "Typing and read marks by what became of them.",
                "outcome",
                &[
                    "sent",
                    "stale",
                    "undecodable",
                    "coalesced",
                    "without_effect",
                ],
            ),
            commit_failures: metrics.counter(
                "classifier_commit_failures_total",
                "Offsets that could not be committed for lag tools.",
            ),
        }
    }

    /// Counts how the commands of a committed batch ended (I10).
    pub fn count(&self, tally: Tally) {
        let outcome = |name, count| self.commands.with_label_values(&[name]).inc_by(count);
        outcome("stored", tally.stored);
        outcome("duplicate", tally.duplicate);
        outcome("rejected", tally.rejected);
        outcome("dead_lettered", tally.dead_lettered);
        self.redelivered.inc_by(tally.redelivered);
    }

    /// So many lanes and homes there are.
    pub fn there_are(&self, lanes: i32, homes: i32) {
        self.all_lanes.set(lanes.into());
        self.all_homes.set(homes.into());
    }

    /// Counts a record that goes to `chat-dlq`.
    pub fn dead_letter(&self, reason: DlqReason) {
        let counter = self.dead_letters.with_label_values(&[reason.as_str()]);
        counter.inc();
    }

    /// Counts a home that does not exist, by who named it: `origin` or `route`.
    pub fn no_such_home(&self, named_by: &str) {
        self.unknown_homes.with_label_values(&[named_by]).inc();
    }

    /// Homes that do not exist, by who named them.
    pub fn unknown_homes(&self, named_by: &str) -> u64 {
        self.unknown_homes.with_label_values(&[named_by]).get()
    }

    /// The records that were dead-lettered for that reason.
    pub fn dead_letters(&self, reason: DlqReason) -> u64 {
        let counter = self.dead_letters.with_label_values(&[reason.as_str()]);
        counter.get()
    }

    /// The commands that ended that way.
    pub fn commands(&self, outcome: &str) -> u64 {
        self.commands.with_label_values(&[outcome]).get()
    }
}
