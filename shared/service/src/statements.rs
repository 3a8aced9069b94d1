//! What a service measures of its database. Who owns the database's client says what to count: no
//! client is known here.

use std::time::Duration;

use crate::asked::Asked;
use crate::metrics::{Metrics, SECONDS};

/// Whom a client tells of each statement: its name, how long it took, and how it ended, as `label` says
/// that for metrics. All names and outcomes are there at 0 from the start.
pub fn observer<O: Copy + 'static>(
    metrics: &Metrics,
    names: &[&str],
    outcomes: &[O],
    label: fn(O) -> &'static str,
) -> impl Fn(&'static str, Duration, O) + Send + Sync + use<O> {
    let outcomes = outcomes.iter().map(|outcome| label(*outcome));
    let seconds = metrics.histograms(
        "postgres_statement_seconds",
        "Time of a statement, the wait for a connection included.",
        "statement",
        names,
        SECONDS,
    );
    let counted = metrics.counters_by(
        "postgres_statements_total",
        "Statements by how they ended.",
        &["statement", "outcome"],
    );
    let asked = Asked::new(seconds, counted, names, outcomes);
    move |name, took, outcome| asked.answered(name, label(outcome), took)
}

/// Adds `postgres_pool`: connections by state, asked for when metrics are.
pub fn pool<const N: usize>(
    metrics: &Metrics,
    read: impl Fn() -> [(&'static str, usize); N] + Send + Sync + 'static,
) {
    metrics.gauges_read(
        "postgres_pool",
        "The pool: open and idle connections, callers waiting for one, and how many may be open.",
        "state",
        move || read().map(|(state, count)| (state, i64::try_from(count).unwrap_or(i64::MAX))),
    );
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn statements_are_counted_and_there_from_the_start() {
        let metrics = Metrics::new();
        let label = |known| if known { "ok" } else { "unknown" };
        let observe = observer(&metrics, &["append", "ping"], &[true, false], label);
        observe("append", Duration::from_millis(3), false);
        let text = metrics.render();
        for line in [
            "postgres_statements_total{outcome=\"unknown\",statement=\"append\"} 1",
            "postgres_statements_total{outcome=\"ok\",statement=\"append\"} 0",
            "postgres_statements_total{outcome=\"unknown\",statement=\"ping\"} 0",
            "postgres_statement_seconds_count{statement=\"append\"} 1",
            "postgres_statement_seconds_bucket{statement=\"append\",le=\"0.005\"} 1",
            "postgres_statement_seconds_bucket{statement=\"append\",le=\"0.002\"} 0",
            "postgres_statement_seconds_count{statement=\"ping\"} 0",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in {text}");
        }
    }

    #[test]
    fn the_pool_is_read_when_it_is_asked_for() {
        let (metrics, open) = (Metrics::new(), Arc::new(AtomicUsize::new(1)));
        let read = Arc::clone(&open);
        pool(&metrics, move || [("open", read.load(Ordering::SeqCst))]);
        open.store(7, Ordering::SeqCst);
        let text = metrics.render();
        assert!(text.contains("postgres_pool{state=\"open\"} 7"), "{text}");
    }
}
