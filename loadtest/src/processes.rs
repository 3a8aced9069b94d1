//! Processor time and memory by process, from `/proc`.

use std::collections::BTreeMap;

use serde::Serialize;
use stack::{Cluster, Server, Stack};

/// The system on this machine, when this run started it. Dropped in this order: who uses the servers goes first, and the
/// space asks them to delete what is its own.
pub(crate) struct System {
    pub(crate) cluster: Cluster,
    pub(crate) space: stack::Space,
    pub(crate) stack: Stack,
}

/// What one process used in the measured time, and how much memory it held at its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Usage {
    /// Processor seconds.
    pub cpu_seconds: f64,
    /// Resident memory in MiB.
    pub memory_mib: f64,
}

/// Processor seconds so far, by process.
pub(crate) type Cpu = BTreeMap<String, f64>;

impl System {
    /// Ends gateways and classifiers, and then what they stand on. One that does not end by itself is killed and told of,
    /// no more: what was measured before stands. The logs outlive a run that did not go well.
    pub(crate) async fn stop(self, went_well: bool) {
        let stopped = self.cluster.stop().await;
        if !went_well || stopped.is_err() {
            self.stack.keep_logs();
        }
        if let Err(error) = stopped {
            tracing::warn!("stop the cluster: {:#}", anyhow::Error::new(error));
        }
    }

    pub(crate) fn processes(&self) -> impl Iterator<Item = &Server> {
        let services = self.cluster.services().map(std::ops::Deref::deref);
        services.chain(self.stack.servers())
    }

    pub(crate) fn cpu(&self) -> Cpu {
        let mut cpu: Cpu = self
            .processes()
            .map(|process| (process.name().to_owned(), process.cpu_seconds()))
            .collect();
        cpu.insert("loadtest".to_owned(), own_cpu_seconds());
        cpu
    }

    pub(crate) fn usage(&self, before: &Cpu) -> BTreeMap<String, Usage> {
        let after = self.cpu();
        let used = |name: &str| after.get(name).unwrap_or(&0.0) - before.get(name).unwrap_or(&0.0);
        let memory = self
            .processes()
            .map(|process| (process.name().to_owned(), process.rss()));
        let memory = memory.chain([("loadtest".to_owned(), own_rss())]);
        memory
            .map(|(name, bytes)| {
                let cpu_seconds = used(&name);
                (
                    name,
                    Usage {
                        cpu_seconds,
                        memory_mib: mib(bytes),
                    },
                )
            })
            .collect()
    }

    /// Resident memory of all gateways, in bytes.
    pub(crate) fn was_rss(&self) -> u64 {
        self.cluster
            .services()
            .filter(|service| service.name().starts_with("was"))
            .map(|service| service.rss())
            .sum()
    }
}

/// The processor seconds of the system, this program excluded.
pub(crate) fn total(processes: &BTreeMap<String, Usage>) -> f64 {
    processes
        .iter()
        .filter(|(name, _)| *name != "loadtest")
        .map(|(_, usage)| usage.cpu_seconds)
        .sum()
}

pub(crate) fn mib(bytes: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "memory sizes stay far below 2^52"
    )]
    let bytes = bytes as f64;
    bytes / f64::from(1 << 20)
}

fn own_cpu_seconds() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds and nanoseconds stay far below 2^52"
    )]
    let (seconds, nanoseconds) = (now.tv_sec as f64, now.tv_nsec as f64);
    seconds + nanoseconds / 1e9
}

fn own_rss() -> u64 {
    // Alone: the servers of the run are its children.
    stack::resident_bytes_alone(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        assert!(own_rss() > 1 << 20, "{} bytes", own_rss());
        let before = own_cpu_seconds();
        while own_cpu_seconds() - before < 0.01 {
            std::hint::black_box(0_u64);
        }
    }

    #[test]
    fn the_load_generator_is_no_part_of_the_system() {
        let usage = |cpu_seconds| Usage {
            cpu_seconds,
            memory_mib: 0.0,
        };
        let all = [
            ("was-1".to_owned(), usage(1.0)),
            ("kafka-1".to_owned(), usage(2.0)),
            ("loadtest".to_owned(), usage(4.0)),
        ];
        assert!((total(&all.into()) - 3.0).abs() < 1e-9);
    }
}
