//! Redis: in memory only, so a killed one comes back empty, which is what a failover to an empty replica looks like.

mod alone;
mod cluster;
mod handles;
mod sentinels;

use std::{ffi::OsString, fs, path::Path};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

pub use alone::RedisAlone;

use crate::{
    certificates::Certificates,
    error::{Doing, Result},
    install::Installed,
    ports,
    ready::Probe,
    server::{Plan, Server},
};

/// What the sentinels call the primary.
pub(crate) const MASTER: &str = "switchboard";

/// As what Redis stands there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum RedisKind {
    /// One server.
    #[default]
    One,
    /// A cluster of three primaries. The table of homes is on the first.
    Cluster,
    /// A primary, a replica, and three sentinels.
    Sentinel,
}

/// How servers and sentinels speak to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Not encrypted. One server listens for TLS as well.
    Plain,
    /// By TLS: the addresses that they name to clients are those where they listen for it.
    Encrypted,
}

/// Redis servers that run. Dropping it ends them.
#[derive(Debug)]
pub struct RedisServers {
    servers: Vec<Server>,
    sentinels: Vec<Server>,
    /// Of `servers`.
    pub(crate) ports: Vec<u16>,
    /// The same for TLS, where they listen for it.
    tls_ports: Vec<u16>,
    sentinel_ports: Vec<u16>,
    /// `redis.url`.
    url: String,
    /// The same over TLS, where they listen for it.
    tls_url: Option<String>,
}

/// Starts them; `port` is that of the one server, which a cable may lead to.
pub(crate) fn start(
    kind: RedisKind,
    way: Way,
    installed: &Installed,
    dir: &Path,
    port: u16,
    certificates: &Certificates,
) -> Result<RedisServers> {
    let encrypted = (way == Way::Encrypted).then_some(certificates);
    match kind {
        RedisKind::One => one(installed, dir, port, certificates),
        RedisKind::Cluster => cluster::start(installed, dir, encrypted),
        RedisKind::Sentinel => sentinels::start(installed, dir, encrypted),
    }
}

fn one(
    installed: &Installed,
    dir: &Path,
    port: u16,
    certificates: &Certificates,
) -> Result<RedisServers> {
    let tls_port = ports::free_port();
    let more = listens_for_tls(tls_port, certificates);
    let server = server(installed, dir, "redis", port, Probe::Redis { port }, more)?;
    Ok(RedisServers {
        servers: vec![server],
        sentinels: Vec::new(),
        ports: vec![port],
        sentinel_ports: Vec::new(),
        url: url("redis", &[port]),
        tls_ports: vec![tls_port],
        tls_url: Some(url("rediss", &[tls_port])),
    })
}

/// What makes a server, or a sentinel, listen for TLS. Of its clients it asks for no certificate.
fn listens_for_tls(port: u16, certificates: &Certificates) -> Vec<OsString> {
    let files = [
        ("--tls-ca-cert-file", certificates.ca()),
        ("--tls-cert-file", certificates.server()),
        ("--tls-key-file", certificates.server_key()),
    ];
    let mut words: Vec<OsString> = ["--tls-port", &port.to_string()].map(Into::into).into();
    words.extend(["--tls-auth-clients", "no"].map(Into::into));
    for (name, file) in files {
        words.extend([name.into(), file.into_os_string()]);
    }
    words
}

fn url(scheme: &str, ports: &[u16]) -> String {
    let hosts: Vec<String> = ports
        .iter()
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    format!("{scheme}://{}", hosts.join(","))
}

/// The folder of one of them.
fn home(dir: &Path, name: &str) -> Result<std::path::PathBuf> {
    let data = dir.join(name);
    fs::create_dir_all(&data).doing(|| format!("create {}", data.display()))?;
    Ok(data)
}

/// A server that has keys.
fn server(
    installed: &Installed,
    dir: &Path,
    name: &str,
    port: u16,
    probe: Probe,
    more: Vec<OsString>,
) -> Result<Server> {
    let port_text = port.to_string();
    let mut words: Vec<OsString> = [
        "--bind",
        "127.0.0.1",
        "--port",
        &port_text,
        "--save",
        "",
        "--appendonly",
        "no",
        "--maxmemory-policy",
        "noeviction",
        "--daemonize",
        "no",
        "--dir",
    ]
    .map(Into::into)
    .into();
    words.push(home(dir, name)?.into_os_string());
    words.extend(more);
    process(installed, dir, name, probe, words)
}

fn process(
    installed: &Installed,
    dir: &Path,
    name: &str,
    probe: Probe,
    words: Vec<OsString>,
) -> Result<Server> {
    let mut command = vec![installed.redis_server.clone().into_os_string()];
    command.extend(words);
    Server::spawn(Plan {
        name: name.into(),
        command,
        wrapper: Vec::new(),
        env: Vec::new(),
        log: dir.join(format!("{name}.log")),
        probe,
        end: Signal::KILL,
    })
}
