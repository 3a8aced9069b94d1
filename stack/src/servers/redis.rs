//! Redis: in memory only, so a killed one comes back empty, which is what a failover to an empty replica looks like.

use std::{fs, path::Path, time::Duration};

use rustix::process::Signal;

use crate::{
    error::{Doing, Result},
    install::Installed,
    ready::Probe,
    server::{Plan, Server},
};

pub(crate) fn start(installed: &Installed, dir: &Path, port: u16) -> Result<Server> {
    let data = dir.join("redis");
    fs::create_dir_all(&data).doing(|| format!("create {}", data.display()))?;
    let port_text = port.to_string();
    let mut command = vec![installed.redis_server.clone().into_os_string()];
    command.extend(
        [
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
        .map(Into::into),
    );
    command.push(data.into_os_string());
    Server::spawn(Plan {
        name: "redis".into(),
        command,
        wrapper: Vec::new(),
        env: Vec::new(),
        log: dir.join("redis.log"),
        probe: Probe::Redis { port },
        patience: Duration::from_secs(10),
        end: Signal::KILL,
    })
}
