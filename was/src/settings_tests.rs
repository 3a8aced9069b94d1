//! What settings are taken for, and which are refused.

use std::ffi::OsString;

use super::*;

const GOOD: &[&str] = &[
    "--kafka-brokers",
    "127.0.0.1:9092",
    "--postgres-url",
    "postgres://u@127.0.0.1/d",
    "--redis-url",
    "redis://127.0.0.1",
    "--auth-hs256-secret",
    "0123456789abcdef0123456789abcdef",
];

fn read(more: &[&str]) -> (Settings, String) {
    let args: Vec<OsString> = GOOD.iter().chain(more).map(OsString::from).collect();
    let mut values = Values::load_from(TABLES, ELSEWHERE, args, []);
    let settings = Settings::read(&mut values);
    let mistakes = values.finish().err();
    (
        settings,
        mistakes.map(|m| m.to_string()).unwrap_or_default(),
    )
}

/// I6, I7: pods that all listen on the same address don't share a name, and with it a home; the end
/// of a pod's name is the end of its gateway's, where the ordinal is looked for.
#[test]
fn the_default_name_has_the_host_at_its_end() {
    let (settings, mistakes) = read(&["--was-listen", "0.0.0.0:8080"]);
    assert_eq!(mistakes, "");
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(settings.home.name, format!("0.0.0.0:8080@{}", host.trim()));
    assert_eq!(settings.rules.was, settings.home.name);
    let (named, _) = read(&["--was-name", "was-3"]);
    assert_eq!(named.home.name, "was-3");
}

/// I9: nobody may have no session at all, nor take every place of a gateway.
#[test]
fn i9_sessions_of_a_user_have_a_bound() {
    assert_eq!(read(&[]).0.sessions_per_user, 50);
    for value in ["0", "10001"] {
        let (_, mistakes) = read(&["--was-sessions-per-user", value]);
        assert!(mistakes.contains("was.sessions_per_user"), "{mistakes}");
    }
}

/// Times of no length would make a gateway that closes every socket, or never renews its home.
#[test]
fn times_have_bounds() {
    for name in [
        "was.home_lease",
        "was.drain",
        "was.greet_within",
        "was.ping_every",
        "was.audit_least",
        "was.audit_most",
        "was.command_timeout",
        "was.outcome_timeout",
    ] {
        let flag = format!("--{}", name.replace(['.', '_'], "-"));
        for value in ["0s", "1000h"] {
            let (_, mistakes) = read(&[&flag, value]);
            assert!(mistakes.contains(name), "{name} {value}: {mistakes}");
        }
    }
}

/// No clock is off by so much that old tokens are to be taken for ever; none off at all is fine.
#[test]
fn a_leeway_has_a_bound() {
    let (settings, mistakes) = read(&["--auth-leeway", "0s"]);
    assert_eq!((settings.auth.leeway, &*mistakes), (Duration::ZERO, ""));
    let (_, mistakes) = read(&["--auth-leeway", "6m"]);
    assert!(mistakes.contains("auth.leeway"), "{mistakes}");
}

/// `check-config` finds them, not the first connection.
#[test]
fn addresses_that_can_never_work_are_named() {
    for (name, value) in [
        ("postgres.url", "http://u:hidden@h/d"),
        ("redis.url", "127.0.0.1:6379"),
        ("redis.url", "redis://one:6379,two:6379"),
        ("redis.sentinel_password", "hidden"),
        ("redis.ca_file", "/nowhere/ca.pem"),
        ("redis.key_prefix", "{a}"),
    ] {
        let flag = format!("--{}", name.replace(['.', '_'], "-"));
        let (_, mistakes) = read(&[&flag, value]);
        assert!(mistakes.contains(name), "{name} {value}: {mistakes}");
        assert!(!mistakes.contains("hidden"), "{mistakes}");
    }
}

/// A gateway that was to be encrypted never starts unencrypted.
#[test]
fn what_contradicts_the_encryption_of_postgres_is_named() {
    for (more, told) in [
        (&["--postgres-tls", "on"][..], "postgres.tls = \"on\""),
        (&["--postgres-ca-file", "/a"], "postgres.ca_file = \"/a\""),
        (
            &["--postgres-tls=verify-full", "--postgres-ca-file=/nowhere"],
            "postgres.ca_file = \"/nowhere\" (--postgres-ca-file): /nowhere can't be read",
        ),
        (
            &["--postgres-url", "postgres://u:hidden@h/d?sslmode=require"],
            "postgres.tls = disable",
        ),
    ] {
        let (_, mistakes) = read(more);
        assert!(mistakes.contains(told), "{more:?}: {mistakes}");
        assert!(!mistakes.contains("hidden"), "{mistakes}");
    }
    let (settings, mistakes) = read(&["--postgres-tls", "require"]);
    assert_eq!(mistakes, "");
    assert_eq!(settings.store.tls, store::TlsMode::Require);
}

/// Whoever is told last must still have the time to leave.
#[test]
fn a_stop_has_time_left_after_its_last_bye() {
    let (settings, mistakes) = read(&["--was-drain", "4s", "--was-drain-spread", "2s"]);
    assert_eq!(mistakes, "");
    assert_eq!(settings.drain_spread, Duration::from_secs(2));
    let (_, mistakes) = read(&["--was-drain", "4s", "--was-drain-spread", "3s"]);
    assert!(mistakes.contains("was.drain_spread"), "{mistakes}");
}

/// `check-config` finds a key file that could not be read at the start.
#[test]
fn key_files_are_read_with_the_settings() {
    let (_, mistakes) = read(&["--auth-key-file", "/nowhere/key.pem"]);
    assert!(mistakes.contains("auth.key_file"), "{mistakes}");
    assert!(mistakes.contains("can't be read"), "{mistakes}");
    let (_, mistakes) = read(&["--auth-jwks-file", "/dev/null"]);
    assert!(mistakes.contains("auth.jwks_file"), "{mistakes}");
}
