//! PostgreSQL, durable (fsync on: what is measured is what production does) unless nobody can tell, with room for every
//! test's connections.
//!
//! It refuses to run as root. As root it gets a user namespace in which root's files are its own; where these are switched
//! off, a folder under the temporary directory that belongs to its user.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::{Signal, geteuid};

use super::{run, run_on};
use crate::{
    certificates::Certificates,
    error::{Doing, Error, Result},
    install::Installed,
    ready::Probe,
    server::{Plan, Server},
};

/// A database that runs, and the folder to remove after it when that lies elsewhere.
pub(crate) struct Started {
    pub(crate) server: Server,
    pub(crate) elsewhere: Option<PathBuf>,
}

/// Who the server runs as.
enum Identity {
    /// Whoever we are.
    Self_,
    /// Root outside, the given user inside a namespace of its own.
    Mapped(User),
    /// Really that user.
    Other(User),
}

#[derive(Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

impl Identity {
    fn find() -> Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self::Self_);
        }
        let user = lookup("postgres")
            .or_else(|| lookup("nobody"))
            .ok_or_else(|| Error::Missing {
                what: "a user other than root for PostgreSQL".into(),
                advice: "adduser --system --group postgres".into(),
            })?;
        let mapped = Self::Mapped(user);
        let wrapper = mapped.wrapper();
        let works = Command::new(&wrapper[0])
            .args(&wrapper[1..])
            .arg("true")
            .output()
            .is_ok_and(|output| output.status.success());
        Ok(if works { mapped } else { Self::Other(user) })
    }

    fn wrapper(&self) -> Vec<OsString> {
        let words = match self {
            Self::Self_ => Vec::new(),
            Self::Mapped(user) => vec![
                "unshare".to_owned(),
                "-U".to_owned(),
                format!("--map-user={}", user.uid),
                format!("--map-group={}", user.gid),
            ],
            Self::Other(user) => vec![
                "setpriv".to_owned(),
                format!("--reuid={}", user.uid),
                format!("--regid={}", user.gid),
                "--clear-groups".to_owned(),
            ],
        };
        words.into_iter().map(OsString::from).collect()
    }
}

/// A line of /etc/passwd: name:password:uid:gid:…
fn lookup(name: &str) -> Option<User> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        Some(User {
            uid: fields.nth(1)?.parse().ok()?,
            gid: fields.next()?.parse().ok()?,
        })
    })
}

/// Who is let in over TLS only, with a password: what a server for many asks of its clients.
const GUARDED: &str = "guarded";
const PASSWORD: &str = "said over TLS only";
const RULES: &str = "\
# who connects as guarded has to come encrypted
hostssl all guarded 127.0.0.1/32 scram-sha-256
host all postgres 127.0.0.1/32 trust
";

/// Where a client is let in only encrypted and by its password.
pub(crate) fn guarded_url(port: u16) -> String {
    let password = PASSWORD.replace(' ', "%20");
    format!("postgres://{GUARDED}:{password}@127.0.0.1:{port}/postgres")
}

/// Makes the data folder (0.5 s) and starts the server on it; with certificates, one that speaks TLS as well.
pub(crate) fn start(
    installed: &Installed,
    dir: &Path,
    port: u16,
    durable: bool,
    guarded: Option<&Certificates>,
) -> Result<Started> {
    let identity = Identity::find()?;
    let wrapper = identity.wrapper();
    let (data, elsewhere) = match identity {
        Identity::Other(user) => {
            let folder = folder_of(user).doing(|| "make a folder for PostgreSQL".into())?;
            (folder.join("data"), Some(folder))
        }
        Identity::Self_ | Identity::Mapped(_) => (dir.join("postgres"), None),
    };
    if !data.join("PG_VERSION").exists() {
        let mut words = wrapper.clone();
        words.push(installed.postgres_bin.join("initdb").into());
        run(
            "initdb",
            Command::new(&words[0])
                .args(&words[1..])
                .args(["--username=postgres", "--auth=trust", "--encoding=UTF8"])
                .args(["--locale=C.UTF-8", "--no-sync", "--pgdata"])
                .arg(&data)
                // A current folder that its user can't read would be an error of its own.
                .current_dir("/"),
        )?;
        if guarded.is_some() {
            let mut words = wrapper.clone();
            words.push(installed.postgres_bin.join("postgres").into());
            make_guarded(&words, &data)?;
        }
    }
    let mut settings = settings(port, durable);
    if let Some(certificates) = guarded {
        settings.extend(tls(certificates, elsewhere.as_deref())?);
    }
    let mut command: Vec<OsString> = vec![
        installed.postgres_bin.join("postgres").into(),
        "-D".into(),
        data.into(),
    ];
    for setting in settings {
        command.push("-c".into());
        command.push(setting.into());
    }
    let server = Server::spawn(Plan {
        name: "postgres".into(),
        command,
        wrapper,
        env: Vec::new(),
        log: dir.join("postgres.log"),
        probe: Probe::Postgres { port },
        // "Immediate shutdown": backends end too, and no shared memory is left behind as after SIGKILL.
        end: Signal::QUIT,
    })?;
    Ok(Started { server, elsewhere })
}

/// Adds the user, and the rules by which it is let in. No server has to run for that.
fn make_guarded(postgres: &[OsString], data: &Path) -> Result<()> {
    let rules = data.join("pg_hba.conf");
    fs::write(&rules, RULES).doing(|| format!("write {}", rules.display()))?;
    let statement = data.join("guarded.sql");
    let text = format!("create role {GUARDED} superuser login password '{PASSWORD}'\n");
    fs::write(&statement, text).doing(|| format!("write {}", statement.display()))?;
    let input = fs::File::open(&statement).doing(|| format!("read {}", statement.display()))?;
    run_on(
        "adding a user to PostgreSQL",
        Command::new(&postgres[0])
            .args(&postgres[1..])
            .args(["--single", "-j", "-c", "fsync=off", "-D"])
            .arg(data)
            .arg("postgres")
            .current_dir("/"),
        input.into(),
    )
}

/// The settings for TLS. A server that is really another user's gets copies that it can read.
fn tls(certificates: &Certificates, elsewhere: Option<&Path>) -> Result<[String; 3]> {
    let (mut certificate, mut key) = (certificates.server(), certificates.server_key());
    if let Some(folder) = elsewhere {
        let owner = fs::metadata(folder).doing(|| format!("look at {}", folder.display()))?;
        for file in [&mut certificate, &mut key] {
            let copy = folder.join(file.file_name().unwrap_or_default());
            fs::copy(&*file, &copy)
                .and_then(|_| chown(&copy, Some(owner.uid()), Some(owner.gid())))
                .doing(|| format!("copy {}", file.display()))?;
            *file = copy;
        }
    }
    Ok([
        "ssl=on".into(),
        format!("ssl_cert_file={}", certificate.display()),
        format!("ssl_key_file={}", key.display()),
    ])
}

fn settings(port: u16, durable: bool) -> Vec<String> {
    let fsync = if durable { "on" } else { "off" };
    vec![
        "listen_addresses=127.0.0.1".into(),
        format!("port={port}"),
        "unix_socket_directories=".into(),
        "max_connections=500".into(),
        "shared_buffers=256MB".into(),
        // A checkpoint in the middle of a measurement shows in its p99.
        "max_wal_size=2GB".into(),
        "checkpoint_timeout=15min".into(),
        format!("fsync={fsync}"),
        "synchronous_commit=on".into(),
        "log_min_error_statement=panic".into(),
    ]
}

fn folder_of(user: User) -> io::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!(
        "switchboard-postgres-{}",
        uuid::Uuid::new_v4().simple()
    ));
    fs::create_dir(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
    chown(&folder, Some(user.uid), Some(user.gid))?;
    debug_assert_eq!(fs::metadata(&folder)?.uid(), user.uid);
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `compose.yaml` says that its database has these settings.
    #[test]
    fn compose_has_the_same_settings() {
        let compose = include_str!("../../../compose.yaml");
        let own = ["listen_addresses", "port", "unix_socket_directories"];
        for setting in settings(1, true) {
            let (key, _) = setting.split_once('=').unwrap();
            let there = format!("- -c{setting}");
            assert!(
                own.contains(&key) || compose.lines().any(|line| line.trim() == there),
                "no {there}"
            );
        }
    }
}
