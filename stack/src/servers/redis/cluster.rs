//! Three primaries that have the slots among them, and no replicas: a part of the keys is gone when one dies.

use std::{ffi::OsString, fs, path::Path};

use super::{RedisServers, home, listens_for_tls, server, url};
use crate::{
    certificates::Certificates,
    error::{Doing, Result},
    install::Installed,
    ports,
    ready::Probe,
};

/// The slots of each node. That of the table of homes is 13,788 (`CLUSTER KEYSLOT {homes}`).
const SLOTS: [&str; 3] = ["10923-16383", "0-5460", "5461-10922"];

/// How long a node may be silent before the others take it for dead, in ms: less than what faults last.
const NODE_TIMEOUT: &str = "1000";

struct Node {
    name: String,
    id: String,
    port: u16,
    /// For TLS, where the cluster speaks it.
    tls_port: Option<u16>,
    bus: u16,
}

impl Node {
    /// That which the others know it by, and tell to clients.
    fn known_by(&self) -> u16 {
        self.tls_port.unwrap_or(self.port)
    }
}

/// Nobody has to introduce them to each other: each finds the others in its own notes, as after a restart.
///
/// With certificates all of them speak TLS, to each other and to clients; the ports without it are there for who asks how they
/// are.
pub(super) fn start(
    installed: &Installed,
    dir: &Path,
    encrypted: Option<&Certificates>,
) -> Result<RedisServers> {
    let nodes: Vec<Node> = (1..=SLOTS.len())
        .map(|number| Node {
            name: format!("redis-{number}"),
            id: format!("{number:040x}"),
            port: ports::free_port(),
            tls_port: encrypted.map(|_| ports::free_port()),
            bus: ports::free_port(),
        })
        .collect();
    let mut servers = Vec::new();
    for node in &nodes {
        let notes = home(dir, &node.name)?.join("nodes.conf");
        fs::write(&notes, notes_of(node, &nodes)).doing(|| format!("write {}", notes.display()))?;
        let bus = node.bus.to_string();
        let mut more: Vec<OsString> = [
            "--cluster-enabled",
            "yes",
            "--cluster-config-file",
            "nodes.conf",
            "--cluster-port",
            &bus,
            "--cluster-node-timeout",
            NODE_TIMEOUT,
            // Who is alive serves its slots though others are dead.
            "--cluster-require-full-coverage",
            "no",
        ]
        .map(Into::into)
        .into();
        if let (Some(certificates), Some(port)) = (encrypted, node.tls_port) {
            more.extend(listens_for_tls(port, certificates));
            more.extend(["--tls-cluster", "yes"].map(Into::into));
        }
        let port = node.port;
        let probe = Probe::RedisCluster { port };
        servers.push(server(installed, dir, &node.name, port, probe, more)?);
    }
    let ports: Vec<u16> = nodes.iter().map(|node| node.port).collect();
    let tls_ports: Vec<u16> = nodes.iter().filter_map(|node| node.tls_port).collect();
    Ok(RedisServers {
        servers,
        sentinels: Vec::new(),
        sentinel_ports: Vec::new(),
        url: url("redis", &ports),
        tls_url: encrypted.map(|_| url("rediss", &tls_ports)),
        tls_ports,
        ports,
    })
}

/// As Redis writes them: id, address, flags, primary, ping, pong, epoch, link, slots.
fn notes_of(me: &Node, all: &[Node]) -> String {
    let mut notes = String::new();
    for ((epoch, node), slots) in (1..).zip(all).zip(SLOTS) {
        let (Node { id, bus, .. }, port) = (node, node.known_by());
        let myself = if node.id == me.id { "myself," } else { "" };
        notes += &format!(
            "{id} 127.0.0.1:{port}@{bus} {myself}master - 0 0 {epoch} connected {slots}\n"
        );
    }
    notes + "vars currentEpoch 3 lastVoteEpoch 0\n"
}
