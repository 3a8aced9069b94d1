//! What this process uses, as metrics: CPU seconds, memory, open files.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, IntGauge};

use crate::metrics::Metrics;

/// Adds `process_cpu_seconds_total`, `process_resident_memory_bytes` and `process_open_fds`,
/// read from `/proc` when metrics are asked for.
pub fn register(metrics: &Metrics) {
    match Process::new() {
        Ok(process) => metrics.collect(Box::new(process)),
        Err(error) => tracing::warn!(%error, "no metrics of the process"),
    }
}

struct Process {
    cpu: Counter,
    memory: IntGauge,
    files: IntGauge,
}

impl Process {
    fn new() -> prometheus::Result<Self> {
        Ok(Self {
            cpu: Counter::new(
                "process_cpu_seconds_total",
                "CPU seconds used, user and system.",
            )?,
            memory: IntGauge::new("process_resident_memory_bytes", "Resident memory in bytes.")?,
            files: IntGauge::new("process_open_fds", "Open file descriptors.")?,
        })
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = self.cpu.desc();
        all.extend(self.memory.desc());
        all.extend(self.files.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Some(seconds) = cpu_seconds() {
            self.cpu.inc_by((seconds - self.cpu.get()).max(0.0));
        }
        if let Some(bytes) = resident_bytes() {
            self.memory.set(bytes);
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            self.files.set(i64::try_from(files.count()).unwrap_or(0));
        }
        let mut all = self.cpu.collect();
        all.extend(self.memory.collect());
        all.extend(self.files.collect());
        all
    }
}

/// The sum of all threads' run time in nanoseconds would need a walk; the clock of the process is
/// one call.
fn cpu_seconds() -> Option<f64> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let nanos = u32::try_from(time.tv_nsec).ok()?;
    Some(std::time::Duration::new(seconds, nanos).as_secs_f64())
}

fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: i64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let metrics = Metrics::new();
        register(&metrics);
        let text = metrics.render();
        for name in [
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_open_fds",
        ] {
            let line = text.lines().find(|line| line.starts_with(name));
            let value: f64 = line
                .and_then(|line| line.split(' ').nth(1))
                .and_then(|value| value.parse().ok())
                .unwrap_or(0.0);
            assert!(value > 0.0, "{name} in {text}");
        }
    }
}
