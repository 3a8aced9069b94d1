//! What callers may count of requests: this crate knows no metrics library.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::connection::{Redis, RoutingError};

/// Told of every request about homes and routes. Must be cheap and must not block.
pub trait RequestObserver: Send + Sync + 'static {
    /// `request` is one of [`Redis::REQUESTS`], `outcome` one of [`Redis::OUTCOMES`]; `took` includes the
    /// wait for its turn.
    fn observed(&self, request: &'static str, took: Duration, outcome: &'static str);
}

/// A closure is enough.
impl<F: Fn(&'static str, Duration, &'static str) + Send + Sync + 'static> RequestObserver for F {
    fn observed(&self, request: &'static str, took: Duration, outcome: &'static str) {
        self(request, took, outcome);
    }
}

/// Nobody counts, or somebody does.
pub(crate) type Observer = Option<Arc<dyn RequestObserver>>;

/// How a request ended that nobody heard the answer of in time.
const TIMEOUT: &str = "timeout";

impl Redis {
    /// The names of all requests.
    pub const REQUESTS: &'static [&'static str] = &[
        "renew_home",
        "claim_home",
        "release_home",
        "look_up",
        "read_routes",
        "write_route",
        "restore_route",
        "remove_route",
        "prune_routes",
        "read_markers",
        "set_markers",
        "other",
    ];

    /// How they may end: answered; refused by Redis; no answer in time, whether or not it was done; no
    /// connection; no turn in time.
    pub const OUTCOMES: &'static [&'static str] =
        &["ok", "refused", TIMEOUT, "unreachable", "crowded"];
}

/// The name of what errors call so: "Redis could not …".
fn name(operation: &'static str) -> &'static str {
    match operation {
        "renew a home" => "renew_home",
        "claim a home" => "claim_home",
        "release a home" => "release_home",
        "look users up" => "look_up",
        "read routes" => "read_routes",
        "write a route" => "write_route",
        "restore a route" => "restore_route",
        "remove a route" => "remove_route",
        "prune dead routes" => "prune_routes",
        "read the markers" => "read_markers",
        "set the markers" => "set_markers",
        _ => "other",
    }
}

/// One request, from before its turn to its end.
pub(crate) struct Watched<'a> {
    observer: &'a Observer,
    request: &'static str,
    begun: Instant,
    ended: bool,
}

impl<'a> Watched<'a> {
    /// It began then.
    pub(crate) fn new(observer: &'a Observer, operation: &'static str, begun: Instant) -> Self {
        Self {
            observer,
            request: name(operation),
            begun,
            ended: false,
        }
    }

    /// It has ended so.
    pub(crate) fn end<T>(mut self, answer: Result<T, RoutingError>) -> Result<T, RoutingError> {
        self.ended = true;
        self.tell(answer.as_ref().err().map_or("ok", RoutingError::label));
        answer
    }

    fn tell(&self, outcome: &'static str) {
        if let Some(observer) = self.observer {
            observer.observed(self.request, self.begun.elapsed(), outcome);
        }
    }
}

/// Who asked had a time limit of its own.
impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.tell(TIMEOUT);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Each end is told once, under a name and an outcome that are known before.
    #[test]
    fn every_end_is_told_once() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let observer: Observer = Some(Arc::new(move |request, took, outcome| {
            assert!(took >= Duration::from_secs(1), "{took:?}");
            heard.lock().unwrap().push((request, outcome));
        }));
        let begun = Instant::now() - Duration::from_secs(1);
        let watched = |operation| Watched::new(&observer, operation, begun);
        watched("renew a home").end(Ok(())).unwrap();
        let operation = "write a route";
        let crowded = RoutingError::Crowded { operation };
        watched(operation).end::<()>(Err(crowded)).unwrap_err();
        drop(watched("look users up"));
        let told = told.lock().unwrap();
        assert_eq!(
            *told,
            [
                ("renew_home", "ok"),
                ("write_route", "crowded"),
                ("look_up", TIMEOUT)
            ]
        );
        for (request, outcome) in &*told {
            assert!(Redis::REQUESTS.contains(request) && Redis::OUTCOMES.contains(outcome));
        }
    }

    /// Whatever is asked here has a name of its own, and each name is of something that is asked.
    #[test]
    fn every_request_has_a_name() {
        let sources = [
            include_str!("homes.rs"),
            include_str!("markers.rs"),
            include_str!("routes.rs"),
            include_str!("routes/lookup.rs"),
        ];
        let asks = ["Operation::at_once(", "Operation::in_turn(", ".ask("];
        let mut found = Vec::new();
        for (source, ask) in sources
            .iter()
            .flat_map(|source| asks.map(|ask| (source, ask)))
        {
            for call in source.split(ask).skip(1) {
                if let Some(text) = call.trim_start().strip_prefix('"') {
                    found.push(name(text.split('"').next().unwrap()));
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        let mut all: Vec<&str> = Redis::REQUESTS.to_vec();
        all.retain(|one| *one != "other");
        all.sort_unstable();
        assert_eq!(found, all);
    }
}
