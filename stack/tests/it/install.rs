//! install.sh on systems that are not as one would like: played by programs that stand first in PATH.

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

struct Played {
    bin: tempfile::TempDir,
}

impl Played {
    /// A user who may use sudo, which is only written down.
    fn new() -> Self {
        let played = Self {
            bin: tempfile::tempdir().unwrap(),
        };
        let sudo = format!("echo \"$*\" >>{}", played.orders().display());
        played.program("sudo", &sudo);
        played.program("id", "echo 1000");
        played.program("apt-get", "exit 1");
        played
    }

    fn orders(&self) -> PathBuf {
        self.bin.path().join("orders")
    }

    /// Written by a process of its own: what another test starts this moment would have a file of ours open for writing, and
    /// such a file can't be run (ETXTBSY).
    fn program(&self, name: &str, does: &str) {
        let write = r#"mkdir -p "${0%/*}" && cat >"$0" && chmod 755 "$0""#;
        let mut shell = Command::new("sh")
            .args(["-c", write])
            .arg(self.bin.path().join(name))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let script = format!("#!/bin/sh\n{does}\n");
        let mut stdin = shell.stdin.take().unwrap();
        stdin.write_all(script.as_bytes()).unwrap();
        drop(stdin);
        assert!(shell.wait().unwrap().success(), "{name}");
    }

    fn java(&self, name: &str, version: &str) {
        let says = format!("echo 'openjdk version \"{version}\" 2025-04-15' >&2");
        self.program(name, &says);
    }

    fn install(&self, what: &str) -> Output {
        let mut path = vec![self.bin.path().to_path_buf()];
        path.extend(env::split_paths(&env::var_os("PATH").unwrap()));
        Command::new("sh")
            .args([concat!(env!("CARGO_MANIFEST_DIR"), "/install.sh"), what])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .env("PATH", env::join_paths(path).unwrap())
            .env("JAVA_HOME", self.bin.path().join("home"))
            .env("HAVE_JARS", "yes")
            .output()
            .unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What is installed is looked at again: an older system's newest Java is too old, and no command to repeat helps. While it is
/// installed the packages' services are kept off.
#[test]
fn what_is_too_old_after_installing_is_said() {
    let played = Played::new();
    played.java("java", "11.0.24");
    let output = played.install("run");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("Still missing: default-jre-headless"),
        "{said}"
    );
    assert!(said.contains("Debian 12 or Ubuntu 24.04"), "{said}");

    let orders = fs::read_to_string(played.orders()).unwrap();
    let at = |what: &str| {
        orders
            .find(what)
            .unwrap_or_else(|| panic!("no {what}: {orders}"))
    };
    assert!(at("apt-get update") < at("apt-get install"));
    if !Path::new("/usr/sbin/policy-rc.d").exists() {
        assert!(at("exit 101") < at("apt-get install"), "{orders}");
        assert!(at("apt-get install") < at("rm -f /usr/sbin/policy-rc.d"));
    }
}

/// A registry that answers with an error is asked again, for a while.
#[test]
fn a_registry_is_asked_again() {
    let played = Played::new();
    played.java("java", "11.0.24");
    let orders = played.orders();
    let orders = orders.display();
    played.program("sleep", &format!("echo \"sleep $1\" >>{orders}"));
    for (failures, attempts) in [(2, 3), (9, 6)] {
        let fails = format!(
            "echo \"$*\" >>{orders}\n\
             case $* in *'apt-get install'*) [ $(grep -c 'apt-get install' {orders}) -gt {failures} ] ;; esac"
        );
        played.program("sudo", &fails);
        let said = text(&played.install("run").stderr);
        let ordered = fs::read_to_string(played.orders()).unwrap();
        let count = |what: &str| ordered.matches(what).count();
        assert_eq!(count("apt-get install"), attempts, "{said}");
        assert_eq!(count("sleep"), attempts - 1, "{said}");
        let given_up = said.contains("apt-get could not install it");
        assert_eq!(given_up, failures >= attempts, "{said}");
        fs::remove_file(played.orders()).unwrap();
    }
}

/// A JAVA_HOME that is too old is passed over, and one that is new enough preferred.
#[test]
fn the_java_that_is_started_is_the_one_that_was_looked_at() {
    let played = Played::new();
    played.java("java", "21.0.4");
    for (home, chosen) in [("11.0.24", "/java"), ("17.0.15", "/home/bin/java")] {
        played.java("home/bin/java", home);
        let output = played.install("run");
        assert!(output.status.success(), "{}", text(&output.stderr));
        let java = format!("java={}{chosen}", played.bin.path().display());
        let found = text(&output.stdout);
        assert!(found.lines().any(|line| line == java), "{found}");
    }
}

/// An old cargo would stop with an error about editions.
#[test]
fn an_old_rust_is_told_what_to_do() {
    let played = Played::new();
    played.program("cargo", "echo 'cargo 1.63.0 (fd9c4297c 2022-07-01)'");
    let output = played.install("build");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("found: 1.63.0"), "{said}");
    assert!(said.contains("rustup update stable"), "{said}");
}

#[test]
fn another_system_is_shown_the_containers() {
    let played = Played::new();
    played.program("uname", "echo Darwin");
    let output = played.install("all");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("compose.yaml"), "{said}");
}
