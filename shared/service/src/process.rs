//! What this process is and uses, as metrics: build, start, CPU seconds, memory, open files.

use std::time::SystemTime;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, IntGauge};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::metrics::Metrics;

/// The version in the workspace's manifest.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What it was built from, if whoever built it has said so.
const REVISION: &str = match option_env!("SWITCHBOARD_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Adds `build_info` and what a process is asked for everywhere: `process_start_time_seconds` (the time
/// of this call: to be made at the start), and, read from `/proc` when metrics are asked for,
/// `process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds` and
/// `process_max_fds`.
pub fn register(metrics: &Metrics) {
    let build = metrics.gauges(
        "build_info",
        "Always 1: which build this is.",
        &["version", "revision"],
    );
    build.with_label_values(&[VERSION, REVISION]).set(1);
    match Process::new() {
        Ok(process) => metrics.collect(Box::new(process)),
        Err(error) => tracing::warn!(%error, "no metrics of the process"),
    }
}

struct Process {
    cpu: Counter,
    memory: IntGauge,
    files: IntGauge,
    most_files: IntGauge,
    started: Gauge,
}

impl Process {
    fn new() -> prometheus::Result<Self> {
        let started = Gauge::new(
            "process_start_time_seconds",
            "When the process started, in seconds since 1970.",
        )?;
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        started.set(since.unwrap_or_default().as_secs_f64());
        Ok(Self {
            started,
            most_files: IntGauge::new("process_max_fds", "Most files that may be open.")?,
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
        all.extend(self.most_files.desc());
        all.extend(self.started.desc());
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
        self.most_files.set(most_files());
        let mut all = self.cpu.collect();
        all.extend(self.memory.collect());
        all.extend(self.files.collect());
        all.extend(self.most_files.collect());
        all.extend(self.started.collect());
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

/// The soft limit, which is the one that counts; no limit is the greatest number.
fn most_files() -> i64 {
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    i64::try_from(most).unwrap_or(i64::MAX)
}

/// Lets this process, and those that it starts, have as many files open as it may without asking anybody. Container
/// runtimes and shells begin with 1,024, which would be all the sockets that a gateway could hold; they allow far more to
/// who asks.
pub fn raise_open_files() {
    // Where there is no limit worth the name: enough for everything, and what is said is a number. Programs that close
    // every number one by one would be at it for minutes otherwise.
    const ENOUGH: u64 = 1 << 20;
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    if limit.current.is_some_and(|current| current < most) {
        let raised = Rlimit {
            current: Some(most),
            ..limit
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "open files stay few");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_and_the_limit_are_told() {
        let metrics = Metrics::new();
        register(&metrics);
        let text = metrics.render();
        let build = format!("build_info{{revision=\"{REVISION}\",version=\"{VERSION}\"}} 1");
        assert!(text.lines().any(|line| line == build), "{build} in {text}");
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max open files"));
        let soft = line
            .and_then(|line| line.split_whitespace().nth(3))
            .unwrap();
        let line = format!(
            "process_max_fds {}",
            soft.replace("unlimited", "9223372036854775807")
        );
        assert!(text.lines().any(|one| one == line), "{line} in {text}");
    }

    #[test]
    fn the_start_is_now() {
        let now = || {
            SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
        };
        let (before, metrics) = (now().as_secs_f64(), Metrics::new());
        register(&metrics);
        let text = metrics.render();
        let line = text
            .lines()
            .find(|line| line.starts_with("process_start_time_seconds"));
        let told: f64 = line.unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        assert!(
            (before..=now().as_secs_f64()).contains(&told),
            "{before} {told}"
        );
    }

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

    /// In a process of its own: the limit is everybody's.
    #[test]
    fn few_open_files_become_as_many_as_may_be() {
        const INNER: &str = "SERVICE_TEST_OPEN_FILES";
        let soft = || getrlimit(Resource::Nofile).current.unwrap();
        if std::env::var_os(INNER).is_some() {
            assert_eq!(soft(), 64);
            raise_open_files();
            let hard = getrlimit(Resource::Nofile).maximum;
            assert_eq!(soft(), hard.unwrap_or(1 << 20).min(1 << 20));
            return;
        }
        let alone = "ulimit -Sn 64 && exec \"$0\" --exact process::tests::few_open_files_become_as_many_as_may_be";
        let ran = std::process::Command::new("sh")
            .args(["-c", alone])
            .arg(std::env::current_exe().unwrap())
            .env(INNER, "1")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(ran.status.success() && told.contains("1 passed"), "{told}");
    }
}
