//! `stack run`: what people are invited to break is started again, what can't go on ends with a reason, and Ctrl-C drains.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// Long enough for a busy machine; what is waited for usually takes a second or two.
const PATIENCE: Duration = Duration::from_mins(3);

/// A `stack run` of one gateway and one classifier that has said "Ready".
struct Run {
    child: Child,
    said: tempfile::NamedTempFile,
}

impl Run {
    fn ready() -> Self {
        let _turn = crate::turn();
        let said = tempfile::NamedTempFile::new().unwrap();
        let port = stack::free_port().to_string();
        let mut child = Command::new(env!("CARGO_BIN_EXE_stack"))
            .args(["run", "--was", "1", "--classifiers", "1", "--lanes", "2"])
            .args(["--homes", "4", "--port", &port])
            .stdout(Stdio::piped())
            .stderr(said.reopen().unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.any(|line| line.unwrap().contains("Ctrl-C ends everything"));
        let run = Self { child, said };
        assert!(ready, "{}", run.said());
        run
    }

    fn said(&self) -> String {
        fs::read_to_string(self.said.path()).unwrap()
    }

    /// The child that runs `program`, when there is one.
    fn find(&self, program: &str) -> Option<i32> {
        let mine = format!(") S {} ", self.child.id());
        fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .find(|pid: &i32| {
                let read = |file| fs::read_to_string(format!("/proc/{pid}/{file}"));
                read("stat").is_ok_and(|stat| stat.contains(&mine))
                    && read("comm").is_ok_and(|name| name.trim() == program)
            })
    }

    fn await_child(&self, program: &str, not: Option<i32>) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(pid) = self.find(program).filter(|pid| Some(*pid) != not) {
                return pid;
            }
            assert!(Instant::now() < deadline, "no {program}: {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn exited(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it runs on: {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// `kill -9` of a gateway, which the README invites to: it comes back, and everything goes on. A Ctrl-C then lets all of
/// them drain.
#[test]
fn a_killed_gateway_is_started_again_and_ctrl_c_drains() {
    let mut run = Run::ready();
    let killed = run.await_child("was", None);
    signal(killed, Signal::KILL);
    run.await_child("was", Some(killed));
    assert!(run.said().contains("was-1 ended"), "{}", run.said());

    let pid = i32::try_from(run.child.id()).unwrap();
    signal(pid, Signal::INT);
    let status = run.exited();
    assert!(status.success(), "{status}: {}", run.said());
    assert!(run.said().contains("drained"), "{}", run.said());
}

/// A dead server is the end, said with its name and log; all logs outlive the run.
#[test]
fn a_dead_server_ends_the_run_and_leaves_the_logs() {
    let mut run = Run::ready();
    signal(run.await_child("redis-server", None), Signal::KILL);
    let status = run.exited();
    let said = run.said();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("redis ended (signal: 9"), "{said}");
    let kept = said
        .lines()
        .find_map(|line| line.strip_prefix("stack: the logs are in "))
        .map(PathBuf::from)
        .unwrap_or_else(|| panic!("no word of the logs: {said}"));
    assert!(kept.join("redis.log").is_file(), "{}", kept.display());
    let services = fs::read_dir(kept.join("spaces")).unwrap().count();
    assert_eq!(services, 1);
    fs::remove_dir_all(kept).unwrap();
}
