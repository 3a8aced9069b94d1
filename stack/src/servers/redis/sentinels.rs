//! A primary, its replica, and three sentinels who make the replica the primary when two of them agree that it is dead.

use std::{ffi::OsString, fs, path::Path};

use super::{MASTER, RedisServers, home, listens_for_tls, process, server, url};
use crate::{
    certificates::Certificates,
    error::{Doing, Result},
    install::Installed,
    ports,
    ready::Probe,
};

const SENTINELS: usize = 3;

/// With certificates all of them speak TLS, to each other and to clients; the ports without it are there for who asks how they
/// are.
pub(super) fn start(
    installed: &Installed,
    dir: &Path,
    encrypted: Option<&Certificates>,
) -> Result<RedisServers> {
    let ports: Vec<u16> = (0..2).map(|_| ports::free_port()).collect();
    let at: Vec<u16> = (0..SENTINELS).map(|_| ports::free_port()).collect();
    let tls = |ports: &[u16]| -> Vec<u16> {
        let each = ports.iter().filter(|_| encrypted.is_some());
        each.map(|_| ports::free_port()).collect()
    };
    let (tls_ports, tls_at) = (tls(&ports), tls(&at));
    let speaks = |tls_port: Option<&u16>| -> Vec<OsString> {
        let both = encrypted.zip(tls_port);
        both.map_or_else(Vec::new, |(certificates, port)| {
            let mut words = listens_for_tls(*port, certificates);
            words.extend(["--tls-replication", "yes"].map(Into::into));
            words
        })
    };
    // Where the primary is found by the others.
    let primary = tls_ports.first().unwrap_or(&ports[0]).to_string();
    let mut servers = Vec::new();
    for (number, port) in ports.iter().enumerate() {
        let mut more: Vec<OsString> = ["--repl-diskless-sync-delay", "0"].map(Into::into).into();
        more.extend(speaks(tls_ports.get(number)));
        if number > 0 {
            more.extend(["--replicaof", "127.0.0.1", &primary].map(Into::into));
        }
        let name = format!("redis-{}", number + 1);
        let probe = Probe::Redis { port: *port };
        servers.push(server(installed, dir, &name, *port, probe, more)?);
    }
    let mut sentinels = Vec::new();
    for (number, port) in at.iter().enumerate() {
        let name = format!("sentinel-{}", number + 1);
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
        let mut words = vec![file.into_os_string(), "--sentinel".into()];
        words.extend(speaks(tls_at.get(number)));
        let probe = Probe::Sentinel {
            port: *port,
            others: SENTINELS - 1,
        };
        sentinels.push(process(installed, dir, &name, probe, words)?);
    }
    Ok(RedisServers {
        servers,
        sentinels,
        ports,
        tls_ports,
        url: url("redis", &at),
        tls_url: encrypted.map(|_| url("rediss", &tls_at)),
        sentinel_ports: at,
    })
}
