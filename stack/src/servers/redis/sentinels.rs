//! A primary, its replica, and three sentinels who make the replica the primary when two of them agree that it is dead.

use std::{ffi::OsString, fs, path::Path};

use super::{MASTER, RedisServers, home, process, server, url};
use crate::{
    error::{Doing, Result},
    install::Installed,
    ports,
    ready::Probe,
};

const SENTINELS: usize = 3;

pub(super) fn start(installed: &Installed, dir: &Path) -> Result<RedisServers> {
    let (primary, replica) = (ports::free_port(), ports::free_port());
    let of = primary.to_string();
    let quick: [OsString; 2] = ["--repl-diskless-sync-delay", "0"].map(Into::into);
    let follows: [OsString; 3] = ["--replicaof", "127.0.0.1", &of].map(Into::into);
    let probe = |port| Probe::Redis { port };
    let servers = vec![
        server(
            installed,
            dir,
            "redis-1",
            primary,
            probe(primary),
            quick.clone().into(),
        )?,
        server(
            installed,
            dir,
            "redis-2",
            replica,
            probe(replica),
            quick.into_iter().chain(follows).collect(),
        )?,
    ];
    let at: Vec<u16> = (0..SENTINELS).map(|_| ports::free_port()).collect();
    let mut sentinels = Vec::new();
    for (number, port) in (1..).zip(&at) {
        let name = format!("sentinel-{number}");
        let home = home(dir, &name)?;
        // A sentinel writes into its settings what it learns.
        let file = home.join("sentinel.conf");
        let settings = format!(
            "port {port}\nbind 127.0.0.1\ndaemonize no\ndir \"{}\"\n\
             sentinel monitor {MASTER} 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds {MASTER} 1000\n\
             sentinel failover-timeout {MASTER} 5000\n",
            home.display()
        );
        fs::write(&file, settings).doing(|| format!("write {}", file.display()))?;
        let words = vec![file.into_os_string(), "--sentinel".into()];
        let probe = Probe::Sentinel {
            port: *port,
            others: SENTINELS - 1,
        };
        sentinels.push(process(installed, dir, &name, probe, words)?);
    }
    Ok(RedisServers {
        servers,
        sentinels,
        ports: vec![primary, replica],
        url: url(&at),
        sentinel_ports: at,
        tls_url: None,
    })
}
