//! What the kernel knows about a process and all that it started: who, how much processor time, how much memory.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// `/proc` counts processor time in 1/100 s on every Linux, whatever the kernel's own tick (USER_HZ).
const TICKS_PER_SECOND: u64 = 100;

/// How long those that were signalled may take to obey: they do when they run next, but for who waits for a disk.
const OBEYED_WITHIN: Duration = Duration::from_secs(30);

/// Sends `signal` to the process and to all it started, however deep: Postgres's backends are sessions of their own, no
/// process group reaches them.
pub fn signal_all(pid: u32, signal: Signal) {
    signalled(pid, signal);
}

/// `SIGKILL` for the process and all it started; returns when none of them runs any more. Signals are obeyed later than they
/// are sent, and Postgres does not start while a backend of before lives.
pub(crate) fn kill_all(pid: u32) {
    let killed = signalled(pid, Signal::KILL);
    obeyed(&killed, |state| matches!(state, 'Z' | 'X'));
}

/// `SIGSTOP` for the process and all it started; returns when none of their threads runs any more: but for the first, they
/// would go on for a moment.
pub(crate) fn stop_all(pid: u32) {
    let stopped = signalled(pid, Signal::STOP);
    obeyed(&stopped, |state| matches!(state, 'T' | 't' | 'Z' | 'X'));
}

/// Who was signalled.
fn signalled(pid: u32, signal: Signal) -> Vec<Member> {
    // Who is stopped or killed first can't start another; so the parent goes first, and then whoever is found.
    let mut done = Vec::new();
    loop {
        let fresh: Vec<Member> = family(pid)
            .into_iter()
            .filter(|member| !done.contains(member))
            .collect();
        if fresh.is_empty() {
            return done;
        }
        for member in fresh {
            signal_one(member.pid, signal);
            done.push(member);
        }
    }
}

/// Waits until each of their threads is in such a state, or gone.
fn obeyed(members: &[Member], so: impl Fn(char) -> bool) {
    let deadline = Instant::now() + OBEYED_WITHIN;
    let mut left = members.to_vec();
    loop {
        // Another process may have got the id of one that is gone.
        left.retain(|member| {
            let same = stat(member.pid).is_some_and(|stat| stat.started == member.started);
            same && !threads(member.pid).all(&so)
        });
        if left.is_empty() || Instant::now() > deadline {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// The states of a process's threads; none when it is gone.
fn threads(pid: u32) -> impl Iterator<Item = char> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    threads
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|thread| parse(&fs::read_to_string(thread.path().join("stat")).ok()?))
        .map(|stat| stat.state)
}

/// Sends `signal` to the process alone.
pub(crate) fn signal_one(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // ESRCH: it has ended in the meantime, which is no news to whoever signals.
        let _ = kill_process(pid, signal);
    }
}

/// A process, told from a later one with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    pid: u32,
    started: u64,
}

/// The process and all below it, parents first; none when it is gone.
fn family(root: u32) -> Vec<Member> {
    let all: Vec<(Member, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| {
            let Stat {
                started, parent, ..
            } = stat(pid)?;
            Some((Member { pid, started }, parent))
        })
        .collect();
    let first = all.iter().find(|(member, _)| member.pid == root);
    let mut found: Vec<Member> = first.iter().map(|(member, _)| *member).collect();
    let mut next = 0;
    while let Some(&Member { pid, .. }) = found.get(next) {
        found.extend(
            all.iter()
                .filter(|(member, parent)| *parent == pid && member.pid != pid)
                .map(|(member, _)| *member),
        );
        next += 1;
    }
    found
}

struct Stat {
    state: char,
    parent: u32,
    ticks: u64,
    /// In ticks since the machine started.
    started: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `/proc/<pid>/stat`, see proc_pid_stat(5): after the name in brackets come state, parent, …, as 14th and 15th fields the
/// time in user and in kernel mode, and as 22nd when it was started.
fn parse(text: &str) -> Option<Stat> {
    let (_, after_name) = text.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        ticks: fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

/// The processor time of a process and of all it started that still live.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let ticks: u64 = family(pid)
        .into_iter()
        .filter_map(|member| stat(member.pid))
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
    let family = family(pid).into_iter();
    family.map(|member| resident_bytes_alone(member.pid)).sum()
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
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A shell with a child that is a session of its own: out of reach for signals to a group.
    fn shell() -> (Child, Vec<Member>) {
        let mut shell = Command::new("sh")
            .args(["-c", "setsid sleep 1000 & echo ready; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        std::io::Read::read_exact(&mut shell.stdout.take().unwrap(), &mut ready).unwrap();
        let members = family(shell.id());
        assert!(members.len() >= 2, "{members:?}");
        (shell, members)
    }

    fn states(members: &[Member]) -> String {
        let states = members.iter().flat_map(|member| threads(member.pid));
        states.collect()
    }

    #[test]
    fn who_is_killed_is_gone_with_a_grandchild_in_another_session() {
        let (mut shell, members) = shell();
        assert!(resident_bytes(shell.id()) > 0);
        kill_all(shell.id());
        let left = states(&members);
        assert_eq!(left.replace('Z', ""), "");
        shell.wait().unwrap();
        assert_eq!(family(shell.id()), []);
    }

    #[test]
    fn who_is_stopped_stands_still() {
        let (mut shell, members) = shell();
        stop_all(shell.id());
        assert_eq!(states(&members), "T".repeat(members.len()));
        kill_all(shell.id());
        shell.wait().unwrap();
    }
}
