//! What a service measures of its Redis. Who owns Redis's client says what to count: no client is known
//! here.

use std::time::Duration;

use crate::asked::Asked;
use crate::metrics::{Metrics, SECONDS};

/// Whom a client tells of each request: its name, how long it took, and how it ended. Adds
/// `redis_request_seconds` and `redis_requests_total`, with all names and outcomes at 0 from the start.
pub fn observer(
    metrics: &Metrics,
    names: &[&'static str],
    outcomes: &[&'static str],
) -> impl Fn(&'static str, Duration, &'static str) + Send + Sync + use<> {
    let seconds = metrics.histograms(
        "redis_request_seconds",
        "Time of a request to Redis, the wait for its turn included.",
        "request",
        names,
        SECONDS,
    );
    let counted = metrics.counters_by(
        "redis_requests_total",
        "Requests to Redis by how they ended.",
        &["request", "outcome"],
    );
    let asked = Asked::new(seconds, counted, names, outcomes.iter().copied());
    move |name, took, outcome| asked.answered(name, outcome, took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_and_there_from_the_start() {
        let metrics = Metrics::new();
        let observe = observer(&metrics, &["look_up", "claim_home"], &["ok", "timeout"]);
        observe("look_up", Duration::from_millis(3), "timeout");
        let text = metrics.render();
        for line in [
            "redis_requests_total{outcome=\"timeout\",request=\"look_up\"} 1",
            "redis_requests_total{outcome=\"ok\",request=\"look_up\"} 0",
            "redis_requests_total{outcome=\"ok\",request=\"claim_home\"} 0",
            "redis_request_seconds_count{request=\"look_up\"} 1",
            "redis_request_seconds_bucket{request=\"look_up\",le=\"0.002\"} 0",
            "redis_request_seconds_bucket{request=\"look_up\",le=\"0.005\"} 1",
            "redis_request_seconds_count{request=\"claim_home\"} 0",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in {text}");
        }
    }
}
