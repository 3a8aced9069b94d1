//! Every metric of the gateway, in one place; labels are there from the start, at 0.

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge};
use protocol::{CloseCode, RejectCode};
use service::metrics::{BATCH, Metrics, RENEWALS, SECONDS};

/// What became of a delivery to a session (I10).
#[derive(Debug)]
pub struct Deliveries {
    /// Written to its socket.
    pub written: IntCounter,
    /// Dropped as already seen by the session.
    pub seen: IntCounter,
    /// For a user without a session here.
    pub absent: IntCounter,
    /// For a session that was ending, or was ended because it did not fit.
    pub ended: IntCounter,
}

/// What became of a recipient of a record with a seq (I8, I10).
#[derive(Debug)]
pub struct Custodies {
    /// A session here has confirmed it by a pong.
    pub confirmed: IntCounter,
    /// A session here has confirmed it, and had dropped it as already seen.
    pub seen: IntCounter,
    /// It went to the home of another session of the user.
    pub handed_on: IntCounter,
    /// It became a push.
    pub pushed: IntCounter,
    /// It became a dead letter: no record for it is small enough.
    pub dead_lettered: IntCounter,
    /// Kafka does not take even that.
    pub given_up: IntCounter,
}

/// The gateway's metrics.
#[derive(Debug)]
pub struct Observed {
    /// How many homes there are.
    pub homes: IntGauge,
    /// The number of the home that is read as its owner; 0: none.
    pub home: IntGauge,
    /// From one renewal of the home's lease to the next that succeeded.
    pub home_renew_seconds: Histogram,
    /// Open sockets.
    pub sockets: IntGauge,
    /// Greeted sessions.
    pub sessions: IntGauge,
    /// Deliveries by outcome.
    pub deliveries: Deliveries,
    /// Recipients of records with a seq by outcome.
    pub custody: Custodies,
    /// Recipients of records that the home's reader is not done with.
    pub in_custody: IntGauge,
    /// Attempts to hand on that were not acknowledged.
    pub hand_on_failures: IntCounter,
    /// Homes without an owner that are read here.
    pub stewarded_homes: IntGauge,
    /// Records read from them.
    pub steward_records: IntCounter,
    /// Records read from the home.
    pub records: IntCounter,
    /// Records read from the broadcast partition.
    pub broadcasts: IntCounter,
    /// Records of the home and of stewarded ones, and broadcasts, that can't be read.
    pub unreadable: IntCounter,
    /// Answers to sessions and requests that are not here any more.
    pub unclaimed: IntCounter,
    /// Commands acknowledged by Kafka.
    pub accepted: IntCounter,
    /// Commands refused at the door, by code.
    pub refused: IntCounterVec,
    /// Sockets closed by us, by reason.
    pub closed: IntCounterVec,
    /// Frames from clients.
    pub frames: IntCounter,
    /// Holes that were read from Postgres.
    pub gaps: IntCounter,
    /// Held frames that overflowed.
    pub held_overflows: IntCounter,
    /// Events that an audit found.
    pub audited: IntCounter,
    /// Routes that an audit had to write again.
    pub routes_restored: IntCounter,
    /// Routes written again after a loss that was noticed.
    pub routes_rebuilt: IntCounter,
    /// Times that the home was claimed anew under the sessions that were there.
    pub rebuilds: IntCounter,
    /// Shards of the routes that lost their memory while sessions had routes in them.
    pub shards_lost: IntCounter,
    /// Routes removed because their session was no more.
    pub routes_pruned: IntCounter,
    /// Requests to Redis about routes that failed.
    pub route_failures: IntCounter,
    /// Sessions in one catch-up query.
    pub catch_up_sessions: Histogram,
    /// How long a catch-up query took.
    pub catch_up_seconds: Histogram,
    /// Catch-up queries that failed.
    pub catch_up_failures: IntCounter,
    /// Commits of the offset of the home, or of a stewarded one, that failed.
    pub commit_failures: IntCounter,
    /// Send to acknowledgement by Kafka.
    pub produce_seconds: Histogram,
    /// Requests by route and status.
    pub requests: IntCounterVec,
    /// How long they took, by route.
    pub request_seconds: HistogramVec,
}

impl Observed {
    /// Registers all of it.
    pub fn new(metrics: &Metrics) -> Self {
        let deliveries = metrics.counters(
            "was_deliveries_total",
            "Deliveries to sessions by what became of them.",
            "outcome",
            &["written", "seen", "absent", "ended"],
        );
        let delivery = |outcome| deliveries.with_label_values(&[outcome]);
        let custodies = metrics.counters(
            "was_custody_total",
            "Recipients of records with a seq by how the reader was done with them.",
            "outcome",
            &[
                "confirmed",
                "seen",
                "handed_on",
                "pushed",
                "dead_lettered",
                "given_up",
            ],
        );
        let custody = |outcome| custodies.with_label_values(&[outcome]);
        let reasons: Vec<&str> = CloseCode::ALL.iter().map(|code| code.reason()).collect();
        let codes: Vec<&str> = RejectCode::ALL.iter().map(|code| code.as_str()).collect();
        Self {
            custody: Custodies {
                confirmed: custody("confirmed"),
                seen: custody("seen"),
                handed_on: custody("handed_on"),
                pushed: custody("pushed"),
                dead_lettered: custody("dead_lettered"),
                given_up: custody("given_up"),
            },
            in_custody: metrics.gauge(
                "was_in_custody",
                "Recipients of records that the home's reader is not done with.",
            ),
            hand_on_failures: metrics.counter(
                "was_hand_on_failures_total",
                "Attempts to hand on that Kafka did not acknowledge; they are repeated.",
            ),
            stewarded_homes: metrics.gauge(
                "was_stewarded_homes",
                "Homes without an owner that are read here.",
            ),
            steward_records: metrics.counter(
                "was_steward_records_total",
                "Records read from homes without an owner.",
            ),
            homes: metrics.gauge("switchboard_homes", "How many homes there are."),
            home: metrics.gauge(
                "was_home",
                "The number of the home that is read as its owner; 0: none.",
            ),
            home_renew_seconds: metrics.histogram(
                "was_home_renew_seconds",
                "From one renewal of the home's lease to the next that succeeded.",
                RENEWALS,
            ),
            sockets: metrics.gauge("was_sockets", "Open sockets."),
            sessions: metrics.gauge("was_sessions", "Sockets whose hello was accepted."),
            deliveries: Deliveries {
                written: delivery("written"),
                seen: delivery("seen"),
                absent: delivery("absent"),
                ended: delivery("ended"),
            },
            records: metrics.counter("was_home_records_total", "Records read from the home."),
            broadcasts: metrics.counter(
                "was_broadcast_records_total",
                "Records read from the broadcast partition.",
            ),
            unreadable: metrics.counter(
                "was_home_unreadable_total",
                "Records of the home and of stewarded ones, and broadcasts, that can't be read.",
            ),
            unclaimed: metrics.counter(
                "was_answers_unclaimed_total",
                "Answers to sessions and requests that are not here any more.",
            ),
            accepted: metrics.counter(
                "was_commands_accepted_total",
                "Commands acknowledged by Kafka.",
            ),
            refused: metrics.counters(
                "was_commands_refused_total",
                "Commands refused before they were in Kafka, by code.",
                "code",
                &codes,
            ),
            closed: metrics.counters(
                "was_sockets_closed_total",
                "Sockets closed by the server, by reason.",
                "reason",
                &reasons,
            ),
            frames: metrics.counter("was_client_frames_total", "Frames from clients."),
            gaps: metrics.counter(
                "was_session_gaps_total",
                "Holes in a session's order read from Postgres.",
            ),
            held_overflows: metrics.counter(
                "was_session_held_overflows_total",
                "Times that held frames overflowed and were read from Postgres.",
            ),
            audited: metrics.counter(
                "was_audit_found_total",
                "Events that an audit found for a session.",
            ),
            routes_restored: metrics.counter(
                "was_routes_restored_total",
                "Routes that an audit wrote again.",
            ),
            routes_rebuilt: metrics.counter(
                "was_routes_rebuilt_total",
                "Routes written again after a loss that was noticed.",
            ),
            rebuilds: metrics.counter(
                "was_rebuilds_total",
                "Times that the home was claimed anew under the sessions that were there.",
            ),
            shards_lost: metrics.counter(
                "was_route_shards_lost_total",
                "Shards of the routes that lost their memory under sessions here.",
            ),
            routes_pruned: metrics.counter(
                "was_routes_pruned_total",
                "Routes removed because their session was no more.",
            ),
            route_failures: metrics.counter(
                "was_route_failures_total",
                "Requests about routes that Redis failed.",
            ),
            catch_up_sessions: metrics.histogram(
                "was_catch_up_sessions",
                "Sessions that shared one catch-up query.",
                BATCH,
            ),
            catch_up_seconds: metrics.histogram(
                "was_catch_up_seconds",
                "Time of one catch-up query.",
                SECONDS,
            ),
            catch_up_failures: metrics.counter(
                "was_catch_up_failures_total",
                "Catch-up queries that failed.",
            ),
            commit_failures: metrics.counter(
                "was_commit_failures_total",
                "Commits of the offset of the home, or of a stewarded one, that failed.",
            ),
            produce_seconds: metrics.histogram(
                "was_produce_seconds",
                "From taking a command to Kafka's acknowledgement.",
                SECONDS,
            ),
            requests: metrics.counters_by(
                "was_rest_requests_total",
                "Requests by route and status.",
                &["route", "status"],
            ),
            request_seconds: metrics.histograms(
                "was_rest_request_seconds",
                "From a request's head to the beginning of its response.",
                "route",
                &[],
                SECONDS,
            ),
        }
    }

    /// Counts a command refused at the door.
    pub fn refuse(&self, code: RejectCode) {
        self.refused.with_label_values(&[code.as_str()]).inc();
    }

    /// Counts a socket closed by us.
    pub fn close(&self, code: CloseCode) {
        self.closed.with_label_values(&[code.reason()]).inc();
    }
}
