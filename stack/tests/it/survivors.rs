//! The servers end with the process that started them, whatever its death.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use stack::{Addresses, Stack};

/// And a second start installs nothing.
#[tokio::test]
async fn nothing_survives_a_kill_9_of_the_process() {
    // The first has installed whatever was missing.
    Stack::shared().await.unwrap();
    let turn = crate::turn();
    let said = tempfile::NamedTempFile::new().unwrap();
    let mut up = Command::new(env!("CARGO_BIN_EXE_stack"))
        .arg("up")
        .stdout(Stdio::piped())
        .stderr(said.reopen().unwrap())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(up.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    drop(turn);
    let said = fs::read_to_string(said.path()).unwrap();
    for install in ["installing", "downloading", "archiving"] {
        assert!(!said.contains(install), "{said}");
    }
    let json = line.split('\'').nth(1).unwrap();
    let addresses: Addresses = serde_json::from_str(json).unwrap();
    let ports: Vec<u16> = [
        &addresses.kafka_brokers,
        addresses.postgres_url.trim_end_matches("/postgres"),
        &addresses.redis_url,
    ]
    .into_iter()
    .map(|address| address.rsplit_once(':').unwrap().1.parse().unwrap())
    .collect();
    assert!(ports.iter().all(|port| listens(*port)), "{ports:?}");
    let servers = children(up.id());
    assert_eq!(servers.len(), ports.len(), "{servers:?}");

    up.kill().unwrap();
    up.wait().unwrap();
    let deadline = Instant::now() + Duration::from_mins(3);
    // Not their ports: others may listen there by now.
    while let Some(left) = servers.iter().find(|server| server.runs()) {
        assert!(Instant::now() < deadline, "still running: {left:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A process, and what it was started as, with a folder or port that no other has: its id may be another's later.
#[derive(Debug)]
struct Server {
    pid: u32,
    command: String,
}

impl Server {
    fn runs(&self) -> bool {
        command(self.pid).as_ref() == Some(&self.command)
    }
}

/// Empty when it has ended and nobody has read its status.
fn command(pid: u32) -> Option<String> {
    let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&words).replace('\0', " "))
}

fn children(parent: u32) -> Vec<Server> {
    let is_child = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(") ").map(|(_, after)| after.split(' '));
        fields.and_then(|mut fields| fields.nth(1)?.parse().ok()) == Some(parent)
    };
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| is_child(*pid))
        .filter_map(|pid| {
            let command = command(pid)?;
            Some(Server { pid, command })
        })
        .collect()
}

/// `stack test` ends with the exit code of its command, which has the addresses in its environment; after a failure the logs
/// of what is left outlive it, and what they complain about is shown.
#[test]
fn stack_test_ends_as_its_command_does_and_says_why() {
    let command = r#"
        dir=$(printf %s "$SWITCHBOARD_STACK" | sed 's/.*"dir":"\([^"]*\)".*/\1/')
        mkdir -p "$dir/spaces/mine"
        echo '12:00:00Z  WARN was: it hurts' >"$dir/spaces/mine/was-1.log"
        echo '12:00:01Z  INFO was: it is quiet' >>"$dir/spaces/mine/was-1.log"
        exit 7"#;
    let _turn = crate::turn();
    let output = Command::new(env!("CARGO_BIN_EXE_stack"))
        .args(["test", "--", "sh", "-c", command])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains("WARN was: it hurts"), "{said}");
    assert!(!said.contains("it is quiet"), "{said}");
    let kept = said
        .lines()
        .find_map(|line| line.strip_prefix("stack: the logs are in "))
        .map(Path::new)
        .unwrap_or_else(|| panic!("no word of the logs: {said}"));
    assert!(kept.join("spaces/mine/was-1.log").is_file());
    assert!(kept.join("postgres.log").is_file());
    fs::remove_dir_all(kept).unwrap();
}

/// A SIGTERM to `stack test` alone ends the command too, and what that has started; a command that does not listen is killed.
#[test]
fn stack_test_passes_a_sigterm_on() {
    let turn = crate::turn();
    let mut test = Command::new(env!("CARGO_BIN_EXE_stack"))
        .args(["test", "--", "sh", "-c"])
        .arg("trap '' TERM; echo started; sleep 1000 & echo $!; wait")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(test.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "started");
    drop(turn);
    let sleeper = lines.next().unwrap().unwrap();

    let pid = i32::try_from(test.id()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    let deadline = Instant::now() + Duration::from_mins(3);
    while test.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "it waits for its command");
        std::thread::sleep(Duration::from_millis(10));
    }
    // Killed, it stays in the table until somebody reads its status.
    let runs = || {
        fs::read_to_string(format!("/proc/{sleeper}/stat"))
            .is_ok_and(|stat| stat.contains("(sleep) S") || stat.contains("(sleep) R"))
    };
    while runs() {
        assert!(
            Instant::now() < deadline,
            "what the command started is left"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}
