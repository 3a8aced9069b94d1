//! Three primaries that have the slots among them, and no replicas: a part of the keys is gone when one dies.

use std::{ffi::OsString, fs, path::Path};

use super::{RedisServers, home, server, url};
use crate::{
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
    bus: u16,
}

/// Nobody has to introduce them to each other: each finds the others in its own notes, as after a restart.
pub(super) fn start(installed: &Installed, dir: &Path) -> Result<RedisServers> {
    let nodes: Vec<Node> = (1..=SLOTS.len())
        .map(|number| Node {
            name: format!("redis-{number}"),
            id: format!("{number:040x}"),
            port: ports::free_port(),
            bus: ports::free_port(),
        })
        .collect();
    let mut servers = Vec::new();
    for node in &nodes {
        let notes = home(dir, &node.name)?.join("nodes.conf");
        fs::write(&notes, notes_of(node, &nodes)).doing(|| format!("write {}", notes.display()))?;
        let bus = node.bus.to_string();
        let more: Vec<OsString> = [
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
        let port = node.port;
        let probe = Probe::RedisCluster { port };
        servers.push(server(installed, dir, &node.name, port, probe, more)?);
    }
    let ports: Vec<u16> = nodes.iter().map(|node| node.port).collect();
    Ok(RedisServers {
        servers,
        sentinels: Vec::new(),
        sentinel_ports: Vec::new(),
        url: url(&ports),
        tls_url: None,
        ports,
    })
}

/// As Redis writes them: id, address, flags, primary, ping, pong, epoch, link, slots.
fn notes_of(me: &Node, all: &[Node]) -> String {
    let mut notes = String::new();
    for ((epoch, node), slots) in (1..).zip(all).zip(SLOTS) {
        let Node { id, port, bus, .. } = node;
        let myself = if node.id == me.id { "myself," } else { "" };
        notes += &format!(
            "{id} 127.0.0.1:{port}@{bus} {myself}master - 0 0 {epoch} connected {slots}\n"
        );
    }
    notes + "vars currentEpoch 3 lastVoteEpoch 0\n"
}
