//! What the kernel knows about a process and all that it started: who, how much processor time, how much memory.

use std::{fs, path::Path, time::Duration};

use rustix::process::{Pid, Signal, kill_process};

/// `/proc` counts processor time in 1/100 s on every Linux, whatever the kernel's own tick (USER_HZ).
const TICKS_PER_SECOND: u64 = 100;

/// Sends `signal` to the process and to all it started, however deep: Postgres's backends are sessions of their own, no
/// process group reaches them.
pub fn signal_all(pid: u32, signal: Signal) {
    // Who is stopped or killed first can't start another; so the parent goes first, and then whoever is found.
    let mut done = Vec::new();
    loop {
        let fresh: Vec<u32> = family(pid)
            .into_iter()
            .filter(|member| !done.contains(member))
            .collect();
        if fresh.is_empty() {
            return;
        }
        for member in fresh {
            signal_one(member, signal);
            done.push(member);
        }
    }
}

/// Sends `signal` to the process alone.
pub(crate) fn signal_one(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // ESRCH: it has ended in the meantime, which is no news to whoever signals.
        let _ = kill_process(pid, signal);
    }
}

/// The process and all below it, parents first.
fn family(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?.parent)))
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(
            parents
                .iter()
                .filter(|(pid, its)| *its == parent && *pid != parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    found
}

struct Stat {
    parent: u32,
    ticks: u64,
}

/// `/proc/<pid>/stat`, see proc_pid_stat(5): after the name in brackets come state, parent, … and as 14th and 15th fields
/// the time in user and in kernel mode.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = text.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        ticks: fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?,
    })
}

/// The processor time of a process and of all it started that still live.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let ticks: u64 = family(pid)
        .into_iter()
        .filter_map(stat)
        .map(|stat| stat.ticks)
        .sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// The resident memory, in bytes, of a process and of all it started.
///
/// Proportional (`Pss`) where the kernel tells it: pages that Postgres's processes share count once. 0 when there is no
/// such process.
#[must_use]
pub fn resident_bytes(pid: u32) -> u64 {
    family(pid).into_iter().map(resident_bytes_alone).sum()
}

/// The same of the process alone.
#[must_use]
pub fn resident_bytes_alone(pid: u32) -> u64 {
    let proc = Path::new("/proc").join(pid.to_string());
    field_kib(&proc.join("smaps_rollup"), "Pss:")
        .or_else(|| field_kib(&proc.join("status"), "VmRSS:"))
        .unwrap_or(0)
        * 1024
}

fn field_kib(file: &Path, name: &str) -> Option<u64> {
    fs::read_to_string(file)
        .ok()?
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::{
        process::{Command, Stdio},
        time::Instant,
    };

    use super::*;

    /// A session of its own is out of reach for signals to a group, and is reached all the same.
    #[test]
    fn a_grandchild_in_another_session_is_signalled() {
        let mut shell = Command::new("sh")
            .args(["-c", "setsid sleep 1000 & echo ready; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        std::io::Read::read_exact(&mut shell.stdout.take().unwrap(), &mut ready).unwrap();
        let members = family(shell.id());
        assert!(members.len() >= 2, "{members:?}");
        assert!(resident_bytes(shell.id()) > 0);

        signal_all(shell.id(), Signal::KILL);
        shell.wait().unwrap();
        let grandchild = members[1];
        // A signal is delivered when its process runs next, which on a busy machine takes a while.
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let state = fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
            if !(state.contains(") S") || state.contains(") R")) {
                break;
            }
            assert!(Instant::now() < deadline, "still running: {state}");
            std::thread::yield_now();
        }
    }
}
