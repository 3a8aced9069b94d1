//! What can't work is said before anything is started, with what to do about it.

use std::{net::TcpListener, process::Command};

#[test]
fn a_taken_port_is_named_with_a_way_out() {
    let port = stack::free_port();
    let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_stack"))
        .args(["run", "--was", "1", "--port", &port.to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("port {port} is taken")), "{said}");
    assert!(said.contains("make run PORT="), "{said}");
    assert!(!said.contains("starting"), "something was started: {said}");
}

#[test]
fn two_brokers_are_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_stack"))
        .args(["up", "--brokers", "2"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("1 or 3"), "{said}");
}

/// The last gateway's port would be above 65535.
#[test]
fn a_port_without_room_above_it_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_stack"))
        .args(["run", "--port", "65535"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("1..=65000"), "{said}");
}
