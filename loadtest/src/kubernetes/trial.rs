//! What is tried on a real cluster, in the order in which it is. Pure.

use std::time::Duration;

use clap::ValueEnum;

/// One thing that happens to an installation; its name on the command line is that of the variant, in kebab case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Trial {
    /// Nothing happens: it works as it was installed.
    Install,
    /// `kubectl delete pod --force` of a gateway.
    WasPodDeleted,
    /// `kubectl delete pod --force` of a classifier.
    ClassifierPodDeleted,
    /// `kill -9` of a gateway's process; its pod stays.
    WasProcessKilled,
    /// `kubectl rollout restart` of gateways, classifiers and push workers.
    RolloutRestart,
    /// `helm upgrade` to another tag of the image.
    HelmUpgrade,
    /// Gateways from 3 to 5, to 2, and to 3 again; each keeps its home.
    WasScaled,
    /// Classifiers from 2 to 3, to 1, and to 2 again.
    ClassifiersScaled,
    /// A gateway and a classifier are evicted, and at once another of each: refused, as the budget says.
    Evictions,
    /// The autoscaler adds gateways because of their processor time.
    Autoscaling,
    /// `kubectl rollout restart` of all there is, Kafka, Postgres and Redis as well, at the same moment.
    EverythingRestarted,
}

impl Trial {
    /// How long the last messages may take at the end.
    pub(super) const fn patience(self) -> Duration {
        Duration::from_secs(match self {
            // A client that found no server backs off up to 10 s at a time.
            Self::EverythingRestarted => 120,
            _ => 60,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::typed::typed;

    #[test]
    fn names_are_what_one_types() {
        let names: Vec<_> = Trial::value_variants().iter().map(typed).collect();
        assert_eq!(names.len(), 11);
        assert_eq!(names[0], "install");
        assert_eq!(names[10], "everything-restarted");
    }
}
