//! Our own processes, as a user of the release would start them, on a [`Space`].

use std::{
    env,
    ops::Deref,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::Signal;

use crate::{
    error::{Doing, Error, Result},
    ports,
    ready::Probe,
    server::{Plan, Server},
    servers::kafka,
    space::Space,
    stack::VARIABLE,
};

/// How many of what.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Gateways.
    pub was: usize,
    /// Classifiers.
    pub classifiers: usize,
    /// Push workers (`classifier push`); they need `SWITCHBOARD_PUSH_…` in [`ClusterOptions::env`].
    pub pushers: usize,
    /// Partitions of `chat-send`.
    pub lanes: i32,
    /// Homes, beside the broadcast partition.
    pub homes: i32,
    /// The first gateway listens on the first of these ports, and so on; free ones if too few.
    pub was_ports: Vec<u16>,
    /// Further settings of all processes: `("SWITCHBOARD_…", value)`. Development tokens are on, signed with
    /// [`Space::token_secret`], if nothing else is said here.
    pub env: Vec<(String, String)>,
    /// The same for single processes, by name (`was-1`): they stand above all others.
    pub env_of: Vec<(String, Vec<(String, String)>)>,
}

impl Default for ClusterOptions {
    /// Small, for tests: one of each, 2 lanes, 4 homes.
    fn default() -> Self {
        Self {
            was: 1,
            classifiers: 1,
            pushers: 0,
            lanes: 2,
            homes: 4,
            was_ports: Vec::new(),
            env: Vec::new(),
            env_of: Vec::new(),
        }
    }
}

impl ClusterOptions {
    fn env_of(&self, name: &str) -> impl Iterator<Item = (String, String)> {
        let its = self.env_of.iter().filter(move |(of, _)| of == name);
        its.flat_map(|(_, env)| env.iter().cloned())
    }
}

/// A process of ours, handled like any [`Server`].
#[derive(Debug)]
pub struct Service {
    server: Server,
    port: Option<u16>,
    admin_port: u16,
}

impl Deref for Service {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Service {
    /// Where clients connect: `http://127.0.0.1:port`. A classifier has none: empty.
    #[must_use]
    pub fn url(&self) -> String {
        self.port
            .map(|port| format!("http://127.0.0.1:{port}"))
            .unwrap_or_default()
    }

    /// Where `/livez`, `/readyz` and `/metrics` are: `http://127.0.0.1:port`.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin_port)
    }
}

/// Gateways, classifiers and push workers that work together. Dropping it ends them.
#[derive(Debug)]
pub struct Cluster {
    was: Vec<Service>,
    classifiers: Vec<Service>,
    pushers: Vec<Service>,
}

impl Cluster {
    /// Runs `classifier setup`, starts all processes side by side, returns when all are ready.
    ///
    /// # Errors
    /// When a program is missing, `setup` fails, or a process isn't ready in time.
    pub async fn start(space: &Space, options: ClusterOptions) -> Result<Self> {
        let mut env = space.env();
        let secret = space.token_secret();
        env.push(("SWITCHBOARD_AUTH_HS256_SECRET".into(), secret));
        env.push(("SWITCHBOARD_AUTH_DEV_TOKENS".into(), "true".into()));
        env.push(("SWITCHBOARD_LANES".into(), options.lanes.to_string()));
        env.push(("SWITCHBOARD_HOMES".into(), options.homes.to_string()));
        let (copies, in_sync) = kafka::copies(space.brokers());
        env.push(("SWITCHBOARD_KAFKA_REPLICATION".into(), copies.to_string()));
        env.push(("SWITCHBOARD_KAFKA_MIN_INSYNC".into(), in_sync.to_string()));
        env.extend(options.env.iter().cloned());

        setup(&env).await?;
        let start = |kind: Kind, count: usize| -> Result<Vec<Service>> {
            (1..=count)
                .map(|number| service(space, kind, number, &options, &env))
                .collect()
        };
        let cluster = Self {
            classifiers: start(Kind::Classifier, options.classifiers)?,
            was: start(Kind::Was, options.was)?,
            pushers: start(Kind::Pusher, options.pushers)?,
        };
        for service in cluster.services() {
            service.ready().await?;
        }
        Ok(cluster)
    }

    /// The gateway, from 0.
    ///
    /// # Panics
    /// When there are fewer.
    #[must_use]
    pub fn was(&self, index: usize) -> &Service {
        &self.was[index]
    }

    /// The classifier, from 0.
    ///
    /// # Panics
    /// When there are fewer.
    #[must_use]
    pub fn classifier(&self, index: usize) -> &Service {
        &self.classifiers[index]
    }

    /// All gateways' addresses.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.was.iter().map(Service::url).collect()
    }

    /// The gateways.
    pub fn gateways(&self) -> impl Iterator<Item = &Service> {
        self.was.iter()
    }

    /// The classifiers.
    pub fn classifiers(&self) -> impl Iterator<Item = &Service> {
        self.classifiers.iter()
    }

    /// All processes.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        let both = self.was.iter().chain(&self.classifiers);
        both.chain(&self.pushers)
    }

    /// Asks all to end and waits until they have: gateways first, while somebody still answers them.
    ///
    /// # Errors
    /// When one still runs after a minute.
    pub async fn stop(self) -> Result<()> {
        for group in [&self.was, &self.classifiers, &self.pushers] {
            for service in group.iter().filter(|service| service.is_running()) {
                service.terminate();
            }
            for service in group.iter().filter(|service| service.pid().is_some()) {
                service.exited(Duration::from_secs(60)).await?;
            }
        }
        Ok(())
    }
}

/// A program and what it is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Was,
    Classifier,
    Pusher,
}

impl Kind {
    /// Its name's beginning; program; argument.
    const fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Was => ("was", "was", "serve"),
            Self::Classifier => ("classifier", "classifier", "serve"),
            Self::Pusher => ("push", "classifier", "push"),
        }
    }
}

fn service(
    space: &Space,
    kind: Kind,
    number: usize,
    options: &ClusterOptions,
    env: &[(String, String)],
) -> Result<Service> {
    let (first, program, argument) = kind.words();
    let name = format!("{first}-{number}");
    let admin_port = ports::free_port();
    let port = (kind == Kind::Was).then(|| {
        let wanted = options.was_ports.get(number - 1).copied();
        wanted.unwrap_or_else(ports::free_port)
    });
    let mut env = env.to_vec();
    if let Some(port) = port {
        env.push(("SWITCHBOARD_WAS_LISTEN".into(), format!("127.0.0.1:{port}")));
    }
    let upper = program.to_uppercase();
    env.push((format!("SWITCHBOARD_{upper}_NAME"), name.clone()));
    env.push((
        "SWITCHBOARD_ADMIN_LISTEN".into(),
        format!("127.0.0.1:{admin_port}"),
    ));
    env.extend(options.env_of(&name));
    let server = Server::spawn(Plan {
        command: vec![find(program)?.into(), argument.into()],
        wrapper: Vec::new(),
        env,
        log: space.dir().join(format!("{name}.log")),
        probe: Probe::Readyz { port: admin_port },
        end: Signal::KILL,
        name,
    })?;
    Ok(Service {
        server,
        port,
        admin_port,
    })
}

/// `classifier setup`: topics, schema, lanes.
async fn setup(env: &[(String, String)]) -> Result<()> {
    let output = tokio::process::Command::new(find("classifier")?)
        .arg("setup")
        .env_remove(VARIABLE)
        .envs(env.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .doing(|| "run classifier setup".into())?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Failed {
        what: "classifier setup".into(),
        status: output.status.to_string(),
        output: format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
    })
}

/// One of our programs: beside this one, or one folder up when this one is a test (`target/debug/deps`).
fn find(program: &str) -> Result<PathBuf> {
    let exe = env::current_exe().doing(|| "find the running program".into())?;
    exe.ancestors()
        .skip(1)
        .take(2)
        .map(|dir: &Path| dir.join(program))
        .find(|file| file.is_file())
        .ok_or_else(|| Error::Missing {
            what: format!("the program `{program}` beside {}", exe.display()),
            advice: format!("cargo build -p {program}, with the same profile"),
        })
}
