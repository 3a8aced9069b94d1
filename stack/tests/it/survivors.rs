//! The servers end with the process that started them, whatever its death.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpStream,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use stack::Addresses;

#[test]
fn nothing_survives_a_kill_9_of_the_process() {
    let mut up = Command::new(env!("CARGO_BIN_EXE_stack"))
        .arg("up")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(up.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
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

    up.kill().unwrap();
    up.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let left: Vec<u16> = ports
            .iter()
            .copied()
            .filter(|port| listens(*port))
            .collect();
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "still listening: {left:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// `stack test` ends with the exit code of its command, which has the addresses in its environment.
#[test]
fn stack_test_runs_a_command_and_ends_as_it_does() {
    let status = Command::new(env!("CARGO_BIN_EXE_stack"))
        .args(["test", "--", "sh", "-c"])
        .arg(format!("test -n \"${}\" && exit 7", stack::VARIABLE))
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(7));
}

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}
