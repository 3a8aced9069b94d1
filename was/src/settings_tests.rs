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
    let tables: &[&[Key]] = &[KEYS, KafkaSettings::KEYS, AdminSettings::KEYS];
    let mut values = Values::load_from(tables, ELSEWHERE, args, []);
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
