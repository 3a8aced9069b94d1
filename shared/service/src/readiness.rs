//! Whether a service may be given work, as a latch with reasons.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::metrics::Metrics;

/// Everything that must hold before a service is ready; cloning shares it.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<watch::Sender<BTreeMap<&'static str, Option<String>>>>);

/// One thing that must hold.
#[derive(Debug, Clone)]
pub struct Condition {
    name: &'static str,
    all: Readiness,
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Readiness {
    /// Nothing is asked for yet.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(BTreeMap::new())))
    }

    /// One more thing that must hold; missing until it is met.
    pub fn condition(&self, name: &'static str) -> Condition {
        let condition = Condition {
            name,
            all: self.clone(),
        };
        condition.miss("not yet");
        condition
    }

    /// What is missing, each as `name: reason`; nothing means ready.
    pub fn missing(&self) -> Vec<String> {
        missing(&self.0.borrow())
    }

    /// Each condition, and whether it is met.
    pub fn conditions(&self) -> Vec<(&'static str, bool)> {
        let all = self.0.borrow();
        all.iter()
            .map(|(name, reason)| (*name, reason.is_none()))
            .collect()
    }

    /// Adds `ready`: 1 for each condition that is met, 0 for each other.
    pub fn measure(&self, metrics: &Metrics) {
        let read = self.clone();
        metrics.gauges_read(
            "ready",
            "Whether a condition of /readyz is met: 1 or 0; ready is who meets all.",
            "condition",
            move || {
                let all = read.conditions().into_iter();
                all.map(|(name, met)| (name, i64::from(met)))
            },
        );
    }

    /// Whether nothing is missing.
    pub fn is_ready(&self) -> bool {
        self.0.borrow().values().all(Option::is_none)
    }

    /// Returns once nothing is missing.
    pub async fn ready(&self) {
        // The sender lives in `self`, so waiting can't fail.
        let _ = self
            .0
            .subscribe()
            .wait_for(|all| all.values().all(Option::is_none))
            .await;
    }
}

fn missing(all: &BTreeMap<&'static str, Option<String>>) -> Vec<String> {
    all.iter()
        .filter_map(|(name, reason)| reason.as_ref().map(|reason| format!("{name}: {reason}")))
        .collect()
}

impl Condition {
    /// It holds.
    pub fn meet(&self) {
        self.set(None);
    }

    /// It does not, for this reason.
    pub fn miss(&self, reason: impl Into<String>) {
        self.set(Some(&reason.into()));
    }

    fn set(&self, reason: Option<&str>) {
        self.all.0.send_if_modified(|all| {
            if all.get(self.name).map(Option::as_deref) == Some(reason) {
                return false;
            }
            match reason {
                None => tracing::info!(condition = self.name, "met"),
                Some(reason) => tracing::info!(condition = self.name, reason, "missing"),
            }
            all.insert(self.name, reason.map(str::to_owned));
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ready_only_while_every_condition_is_met() {
        let readiness = Readiness::new();
        let kafka = readiness.condition("kafka");
        let home = readiness.condition("home");
        assert_eq!(readiness.missing(), ["home: not yet", "kafka: not yet"]);
        kafka.meet();
        home.miss("none of 64 is free");
        assert_eq!(readiness.missing(), ["home: none of 64 is free"]);
        home.meet();
        readiness.ready().await;
        assert!(readiness.is_ready());
        home.miss("stopping");
        assert!(!readiness.is_ready());
    }

    #[test]
    fn each_condition_is_measured() {
        let (readiness, metrics) = (Readiness::new(), Metrics::new());
        readiness.measure(&metrics);
        let kafka = readiness.condition("kafka");
        readiness.condition("home");
        let figures = || {
            let text = metrics.render();
            let lines = text.lines().filter(|line| line.starts_with("ready{"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let unmet = "ready{condition=\"home\"} 0";
        assert_eq!(figures(), [unmet, "ready{condition=\"kafka\"} 0"]);
        kafka.meet();
        assert_eq!(figures(), [unmet, "ready{condition=\"kafka\"} 1"]);
        kafka.miss("gone");
        assert_eq!(figures(), [unmet, "ready{condition=\"kafka\"} 0"]);
    }
}
