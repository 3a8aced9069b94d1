//! `check-config`: every mistake at once, nothing secret shown.

use std::process::{Command, Output};

fn check(args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_was"))
        .arg("check-config")
        .args(args)
        .env_clear()
        .envs(env.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    (status.code(), text)
}

const GOOD: &[(&str, &str)] = &[
    ("SWITCHBOARD_KAFKA_BROKERS", "127.0.0.1:9092"),
    (
        "SWITCHBOARD_POSTGRES_URL",
        "postgres://chat:pw-of-postgres@db/chat",
    ),
    ("SWITCHBOARD_REDIS_URL", "redis://:pw-of-redis@cache:6379"),
    (
        "SWITCHBOARD_AUTH_HS256_SECRET",
        "0123456789abcdef0123456789abcdef",
    ),
    // Of other programs, in the same environment.
    ("SWITCHBOARD_CLASSIFIER_WORKERS", "3"),
    ("SWITCHBOARD_LANES", "24"),
];

#[test]
fn good_settings_are_shown_without_secrets() {
    let (code, text) = check(&["--was-rate-burst", "7"], GOOD);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("was.rate_burst") && text.contains('7'),
        "{text}"
    );
    for secret in ["pw-of-postgres", "pw-of-redis", "0123456789abcdef"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn every_mistake_is_named_at_once() {
    let mut env = GOOD.to_vec();
    env.extend([
        ("SWITCHBOARD_WAS_LISTEN", "nowhere"),
        ("SWITCHBOARD_WAS_COMMAND_TIMEOUT", "5m"),
        ("SWITCHBOARD_AUTH_HS256_SECRET", "short"),
        ("SWITCHBOARD_WAS_COLOUR", "green"),
    ]);
    let (code, text) = check(&["--homes", "0", "--was-audit-least", "3m"], &env);
    assert_eq!(code, Some(64), "{text}");
    for name in [
        "was.listen",
        "was.command_timeout",
        "auth.hs256_secret",
        "SWITCHBOARD_WAS_COLOUR",
        "homes",
        "was.audit_least",
    ] {
        assert!(text.contains(name), "{name} is not in\n{text}");
    }
    assert!(!text.contains("short"), "{text}");
}
