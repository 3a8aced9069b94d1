//! Kafka in KRaft mode: each process is broker and controller, so with three any one may die.

pub(crate) mod archive;
pub(crate) mod guarded;

use std::{ffi::OsString, fs, path::Path, process::Command};

use rand::RngExt as _;
use rustix::process::Signal;

use self::{archive::Use, guarded::Guarded};
use super::run;
use crate::{
    certificates::Certificates,
    error::{Doing, Result},
    install::Installed,
    ports,
    ready::Probe,
    server::{Plan, Server},
};

/// The listeners of one broker.
#[derive(Debug, Clone)]
pub(crate) struct Ports {
    pub(crate) clients: u16,
    pub(crate) controller: u16,
    /// For who comes through a proxy: one for each cable.
    pub(crate) cables: Vec<Cabled>,
    /// For who proves who it is, if there shall be any.
    pub(crate) guarded: Option<Guarded>,
}

/// A listener that names a proxy as its address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cabled {
    pub(crate) listens: u16,
    pub(crate) advertises: u16,
}

/// Compiled once and quickly: of three brokers on two cores, whose first minute decides, this takes a third less processor
/// time than [`LONG_LIVED`].
const SHORT_LIVED: [&str; 2] = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];

/// As Kafka's own start script does.
const LONG_LIVED: [&str; 4] = [
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
];

/// A Java and how it runs.
struct Machine<'a> {
    installed: &'a Installed,
    options: &'a [&'a str],
    /// What it does with the archive of classes.
    archive: OsString,
}

impl Machine<'_> {
    /// The program's name and arguments follow.
    fn command(&self, heap: &[&str], logging: &Path) -> Vec<OsString> {
        let mut log4j = OsString::from("-Dlog4j2.configurationFile=");
        log4j.push(logging);
        let mut command: Vec<OsString> = vec![self.installed.java.clone().into()];
        command.extend(heap.iter().chain(self.options).map(OsString::from));
        command.push(self.archive.clone());
        command.extend([log4j, "-cp".into(), self.installed.jars.join("*").into()]);
        command
    }
}

/// Writes settings and metadata (0.5 s each) of all brokers, then starts them.
pub(crate) fn start(
    installed: &Installed,
    dir: &Path,
    brokers: &[Ports],
    optimize: bool,
    certificates: &Certificates,
) -> Result<Vec<Server>> {
    let machine = Machine {
        installed,
        options: if optimize { &LONG_LIVED } else { &SHORT_LIVED },
        archive: Use::Read.option(&archive::place(installed)),
    };
    start_on(&machine, dir, brokers, certificates)
}

fn start_on(
    machine: &Machine<'_>,
    dir: &Path,
    brokers: &[Ports],
    certificates: &Certificates,
) -> Result<Vec<Server>> {
    let logging = dir.join("kafka-log4j2.properties");
    fs::write(&logging, LOGGING).doing(|| format!("write {}", logging.display()))?;
    let formats = Machine {
        options: &SHORT_LIVED,
        archive: Use::Read.option(&archive::place(machine.installed)),
        ..*machine
    };
    let cluster_id = cluster_id();
    let mut servers = Vec::new();
    for (node, its) in (1..).zip(brokers) {
        let home = dir.join(format!("kafka-{node}"));
        fs::create_dir_all(&home).doing(|| format!("create {}", home.display()))?;
        let properties = home.join("server.properties");
        fs::write(
            &properties,
            settings(node, its, brokers, &home.join("data"), certificates),
        )
        .doing(|| format!("write {}", properties.display()))?;
        if !home.join("data").join("meta.properties").exists() {
            let words = formats.command(&["-Xmx256m"], &logging);
            let mut format = Command::new(&words[0]);
            format
                .args(&words[1..])
                .args(["kafka.tools.StorageTool", "format", "-t", &cluster_id, "-c"])
                .arg(&properties)
                .args(its.guarded.iter().flat_map(|_| guarded::users()));
            run("formatting Kafka's data folder", &mut format)?;
        }
        let mut command = machine.command(
            &["-Xms256m", "-Xmx512m", "-Djava.awt.headless=true"],
            &logging,
        );
        command.extend(["kafka.Kafka".into(), properties.into_os_string()]);
        servers.push(Server::spawn(Plan {
            name: format!("kafka-{node}"),
            command,
            wrapper: Vec::new(),
            env: Vec::new(),
            log: dir.join(format!("kafka-{node}.log")),
            probe: Probe::Kafka {
                port: its.clients,
                // After one broker of three was killed, the others are ready without it.
                brokers: if brokers.len() > 1 { 2 } else { 1 },
            },
            end: Signal::KILL,
        })?);
    }
    Ok(servers)
}

/// 22 characters, as Kafka's base64 of 16 bytes has; letters and digits only, so that none starts like an option.
fn cluster_id() -> String {
    let mut rng = rand::rng();
    let mut id: String = (0..21)
        .map(|_| char::from(b'a' + rng.random_range(0..26_u8)))
        .collect();
    // The last character carries two bits: only A, Q, g, w are canonical.
    id.push('A');
    id
}

fn settings(
    node: i32,
    its: &Ports,
    brokers: &[Ports],
    data: &Path,
    certificates: &Certificates,
) -> String {
    let voters: Vec<String> = (1..)
        .zip(brokers)
        .map(|(node, ports): (i32, _)| format!("{node}@127.0.0.1:{}", ports.controller))
        .collect();
    let voters = voters.join(",");
    let (copies, in_sync) = copies(brokers.len());
    let Ports {
        clients,
        controller,
        guarded,
        ..
    } = its;
    let Listeners {
        listeners,
        protocols,
        advertised,
    } = Listeners::of(its);
    let guards = guarded.map_or_else(String::new, |_| guarded::settings(certificates));
    format!(
        "process.roles=broker,controller\n\
         node.id={node}\n\
         controller.quorum.voters={voters}\n\
         listeners=PLAINTEXT://127.0.0.1:{clients},CONTROLLER://127.0.0.1:{controller}{listeners}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}\n\
         {advertised}\
         log.dirs={data}\n\
         auto.create.topics.enable=false\n\
         message.max.bytes=2097152\n\
         replica.fetch.max.bytes=2097152\n\
         broker.session.timeout.ms=3000\n\
         broker.heartbeat.interval.ms=500\n\
         controller.quorum.election.timeout.ms=500\n\
         controller.quorum.fetch.timeout.ms=1000\n\
         offsets.topic.num.partitions=4\n\
         offsets.topic.replication.factor={copies}\n\
         transaction.state.log.replication.factor={copies}\n\
         transaction.state.log.min.isr={in_sync}\n\
         share.coordinator.state.topic.replication.factor={copies}\n\
         share.coordinator.state.topic.min.isr={in_sync}\n\
         group.initial.rebalance.delay.ms=0\n\
         num.network.threads=1\n\
         num.io.threads=2\n\
         log.cleaner.dedupe.buffer.size=8388608\n\
         log.index.size.max.bytes=1048576\n\
         log.segment.delete.delay.ms=1000\n\
         {guards}",
        data = data.display(),
    )
}

/// What stands in the settings for listeners beside the two that there always are; nothing without any.
#[derive(Default)]
struct Listeners {
    listeners: String,
    protocols: String,
    advertised: String,
}

impl Listeners {
    fn of(ports: &Ports) -> Self {
        let mut all = Self::default();
        let mut advertised = format!("PLAINTEXT://127.0.0.1:{}", ports.clients);
        let mut add = |name: &str, listens: u16, advertises: u16, protocol: &str| {
            all.listeners += &format!(",{name}://127.0.0.1:{listens}");
            all.protocols += &format!(",{name}:{protocol}");
            advertised += &format!(",{name}://127.0.0.1:{advertises}");
        };
        for (number, cable) in (1..).zip(&ports.cables) {
            let name = format!("CABLE{number}");
            add(&name, cable.listens, cable.advertises, "PLAINTEXT");
        }
        for (name, port, protocol) in ports.guarded.iter().flat_map(|its| its.listeners()) {
            add(name, port, port, protocol);
        }
        // Without any the brokers advertise what they listen on.
        if !all.listeners.is_empty() {
            all.advertised = format!("advertised.listeners={advertised}\n");
        }
        all
    }
}

/// How many copies of a partition so many brokers keep, and how many of them must have a record before it is acknowledged.
pub(crate) fn copies(brokers: usize) -> (usize, usize) {
    let copies = brokers.min(3);
    (copies, if copies == 3 { 2 } else { 1 })
}

/// A free port for clients and one for the controllers' quorum, for each broker; and for its guarded listeners.
pub(crate) fn free_ports(brokers: usize, guarded: bool) -> Vec<Ports> {
    (0..brokers)
        .map(|_| Ports {
            clients: ports::free_port(),
            controller: ports::free_port(),
            cables: Vec::new(),
            guarded: guarded.then(Guarded::free),
        })
        .collect()
}

/// `host:port,…` of all brokers, by one of their ports; none if one has none.
pub(crate) fn brokers(all: &[Ports], port: impl Fn(&Ports) -> Option<u16>) -> Option<String> {
    let listed: Option<Vec<String>> = all
        .iter()
        .map(|its| Some(format!("127.0.0.1:{}", port(its)?)))
        .collect();
    Some(listed?.join(","))
}

const LOGGING: &str = "\
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %p %m (%c)%n
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
logger.start.name=kafka.server.KafkaRaftServer
logger.start.level=info
";

#[cfg(test)]
mod tests {
    use super::*;

    /// `compose.yaml` says that its broker has these settings.
    #[test]
    fn compose_has_the_same_settings() {
        const ITS_OWN: [&str; 4] = [
            "node.id",
            "listeners",
            "controller.quorum.voters",
            "log.dirs",
        ];
        let compose = include_str!("../../../compose.yaml").replace('"', "");
        let ports = Ports {
            clients: 1,
            controller: 2,
            cables: Vec::new(),
            guarded: None,
        };
        let dir = Path::new("data");
        let certificates = Certificates::of(dir);
        let settings = settings(1, &ports, std::slice::from_ref(&ports), dir, &certificates);
        for line in settings.lines() {
            let (key, value) = line.split_once('=').unwrap();
            let there = format!("KAFKA_{}: {value}", key.to_uppercase().replace('.', "_"));
            assert!(
                ITS_OWN.contains(&key) || compose.lines().any(|line| line.trim() == there),
                "no {there}"
            );
        }
    }
}
