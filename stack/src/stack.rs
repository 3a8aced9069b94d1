//! One Kafka, one Postgres and one Redis, real ones, on free loopback ports.

use std::{
    env,
    fs::File,
    path::{Path, PathBuf},
    time::Instant,
};

use serde::{Deserialize, Serialize};
use tokio::{sync::OnceCell, task};

use crate::{
    cable::Cable,
    certificates::Certificates,
    error::{Error, Result},
    folders::{self, OwnFolder},
    install, ports,
    progress::say,
    server::Server,
    servers::{
        kafka, postgres,
        redis::{self, RedisKind, RedisServers},
    },
    space::Space,
};

/// The environment variable by which `stack test` tells the tests where its servers are: [`Addresses`] as JSON.
pub const VARIABLE: &str = "SWITCHBOARD_STACK";

/// How many of what, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// Kafka brokers: 1 or 3.
    pub brokers: usize,
    /// The folder for data and logs; a fresh one under `target/stack` if not given.
    pub dir: Option<PathBuf>,
    /// Processes whose network can be cut: each has a [`Cable`] of its own.
    pub cables: usize,
    /// Whether the brokers' JVMs optimize all they can: a minute of slow brokers on few cores, and faster ones after it.
    /// For servers that are measured; the others live for minutes, and their code is compiled once and quickly.
    pub optimize: bool,
    /// Whether Postgres waits for the disk. What it has committed outlives its own death either way, but not the machine's; and
    /// a database made and dropped for each test would wait for a second each time.
    pub durable: bool,
    /// Whether the brokers have listeners for who proves who it is, beside the plain one: see [`Space::kafka_by_password`].
    pub guarded_kafka: bool,
    /// Whether Postgres speaks TLS as well, and has a user who must: see [`Space::guarded_postgres`].
    pub guarded_postgres: bool,
    /// As what Redis stands there. Cables lead to one server only.
    pub redis: RedisKind,
}

impl Options {
    /// Of the servers that all tests share: each way in is there, so that no test starts servers for it. They are nobody's to
    /// stop, so that nothing is ever read back from the disk.
    #[must_use]
    pub fn shared() -> Self {
        Self {
            durable: false,
            guarded_kafka: true,
            guarded_postgres: true,
            ..Self::default()
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            brokers: 1,
            dir: None,
            cables: 0,
            optimize: false,
            durable: true,
            guarded_kafka: false,
            guarded_postgres: false,
            redis: RedisKind::One,
        }
    }
}

/// Where the servers of a stack listen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Addresses {
    /// `host:port,…`, as Kafka's clients want it.
    pub kafka_brokers: String,
    /// The same of the listeners that want proof, if there are any.
    pub guarded_kafka: Option<GuardedKafka>,
    /// How many brokers that are.
    pub brokers: usize,
    /// The database `postgres`, from which others are made.
    pub postgres_url: String,
    /// The same as a user who is let in over TLS only, if there is one.
    pub guarded_postgres_url: Option<String>,
    /// `redis.url`: the server, the nodes of the cluster, or the sentinels.
    pub redis_url: String,
    /// The same over TLS, where there is one server.
    pub redis_tls_url: Option<String>,
    /// As what it stands there.
    pub redis: RedisKind,
    /// Where those listen that have keys.
    pub redis_ports: Vec<u16>,
    /// The folder for data and logs.
    pub dir: PathBuf,
}

/// Where Kafka wants proof, each as `host:port,…`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GuardedKafka {
    /// A password, over TLS (SASL_SSL).
    pub password: String,
    /// A client's certificate (SSL).
    pub certificate: String,
}

/// Running servers. Those that this process started end with the value, or with the process at the latest.
#[derive(Debug)]
pub struct Stack {
    addresses: Addresses,
    own: Option<Own>,
}

/// What only the process that started the servers has.
#[derive(Debug)]
struct Own {
    kafka: Vec<Server>,
    postgres: Server,
    redis: RedisServers,
    cables: Vec<Cable>,
    // The order matters: the servers above end before their folder goes.
    folder: RemovedAtEnd,
    /// Held by a stack whose servers a test may stop.
    turn: Option<File>,
}

#[derive(Debug)]
struct RemovedAtEnd(OwnFolder);

impl RemovedAtEnd {
    fn keep_logs(&self) -> Option<PathBuf> {
        let kept = self.0.keep_logs()?;
        say(format!(
            "the logs are in {}",
            folders::from_here(&kept).display()
        ));
        Some(kept)
    }
}

impl Drop for RemovedAtEnd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.keep_logs();
        }
        self.0.remove();
    }
}

impl Stack {
    /// Installs what is missing, starts everything, returns when all of it answers.
    ///
    /// # Errors
    /// When something can't be installed or started, or doesn't answer in time; the message says what to do or where to look.
    pub async fn start(options: Options) -> Result<Self> {
        let start = Instant::now();
        let (addresses, own) = task::spawn_blocking(move || start_servers(&options))
            .await
            .map_err(|error| Error::Io {
                what: "start the servers".into(),
                source: error.into(),
            })??;
        for server in own.servers() {
            if let Err(error) = server.ready().await {
                own.folder.keep_logs();
                return Err(error);
            }
            say(format!(
                "{} answers after {:.1} s",
                server.name(),
                start.elapsed().as_secs_f64()
            ));
        }
        Ok(Self {
            addresses,
            own: Some(own),
        })
    }

    /// The stack for all tests: the one that `stack test` started, else one of this process, started by the first who asks.
    ///
    /// Its servers are nobody's to stop; a test that does so takes [`Stack::alone`].
    ///
    /// # Errors
    /// As [`Stack::start`]; [`Error::Addresses`] when the variable holds something else.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Stack> = OnceCell::const_new();
        SHARED
            .get_or_try_init(|| async {
                match env::var(VARIABLE) {
                    Ok(json) => Self::at(&json),
                    Err(_) => Self::start(Options::shared()).await,
                }
            })
            .await
    }

    /// A stack for a test that kills, pauses or empties servers: its own, and the only one of its kind on this machine at a time.
    ///
    /// # Errors
    /// As [`Stack::start`].
    pub async fn alone(options: Options) -> Result<Self> {
        let turn = task::spawn_blocking(folders::wait_for_turn)
            .await
            .map_err(|error| Error::Io {
                what: "wait for the turn".into(),
                source: error.into(),
            })??;
        let mut stack = Self::start(options).await?;
        if let Some(own) = &mut stack.own {
            own.turn = Some(turn);
        }
        Ok(stack)
    }

    fn at(json: &str) -> Result<Self> {
        let addresses = serde_json::from_str(json).map_err(|error| Error::Addresses {
            variable: VARIABLE,
            why: error.to_string(),
        })?;
        Ok(Self {
            addresses,
            own: None,
        })
    }

    /// Whether this is a stack of [`Stack::alone`].
    pub(crate) fn is_alone(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.turn.is_some())
    }

    /// Where the servers listen.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The addresses as the value of [`VARIABLE`].
    #[must_use]
    pub fn to_variable(&self) -> String {
        serde_json::to_string(&self.addresses).unwrap_or_default()
    }

    /// The folder of data and logs.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.addresses.dir
    }

    /// The certificates of its servers, and of who may connect to them.
    #[must_use]
    pub fn certificates(&self) -> Certificates {
        Certificates::of(self.dir())
    }

    /// Moves all logs, those of spaces too, to a folder below `target/stack/failed`, says so on stderr, and returns it. For
    /// who started the stack and saw something fail on it: its own folder goes with it. Without effect (`None`) on servers
    /// of another process.
    pub fn keep_logs(&self) -> Option<PathBuf> {
        self.own.as_ref()?.folder.keep_logs()
    }

    /// A place of one's own on these servers: topics, database, keys.
    ///
    /// # Errors
    /// When the database can't be made.
    pub async fn space(&self) -> Result<Space> {
        Space::make(self).await
    }

    fn own(&self) -> &Own {
        self.own
            .as_ref()
            .expect("servers are handled by the process that started them; take `Stack::alone`")
    }

    /// The brokers, from 0.
    ///
    /// # Panics
    /// When another process started the servers.
    #[must_use]
    pub fn kafka(&self) -> &[Server] {
        &self.own().kafka
    }

    /// The database server.
    ///
    /// # Panics
    /// When another process started the servers.
    #[must_use]
    pub fn postgres(&self) -> &Server {
        &self.own().postgres
    }

    /// The Redis server; of a cluster the node with the table of homes, with sentinels the primary of the beginning.
    ///
    /// # Panics
    /// When another process started the servers.
    #[must_use]
    pub fn redis(&self) -> &Server {
        &self.own().redis.all()[0]
    }

    /// All of Redis: [`Stack::redis`] is the first of it.
    ///
    /// # Panics
    /// When another process started the servers.
    #[must_use]
    pub fn redis_servers(&self) -> &RedisServers {
        &self.own().redis
    }

    /// The cables that were asked for, from 0.
    ///
    /// # Panics
    /// When another process started the servers.
    #[must_use]
    pub fn cables(&self) -> &[Cable] {
        &self.own().cables
    }

    /// All servers that this process started.
    #[must_use]
    pub fn servers(&self) -> Vec<&Server> {
        self.own.iter().flat_map(Own::servers).collect()
    }
}

impl Own {
    fn servers(&self) -> Vec<&Server> {
        let redis = self.redis.all().iter().chain(self.redis.sentinels());
        let mut all: Vec<&Server> = redis.collect();
        all.push(&self.postgres);
        all.extend(&self.kafka);
        all
    }
}

fn start_servers(options: &Options) -> Result<(Addresses, Own)> {
    let installed = install::install()?;
    kafka::archive::prepare(&installed)?;
    let folder = match &options.dir {
        Some(dir) => OwnFolder::at(dir.clone())?,
        None => OwnFolder::make()?,
    };
    let dir = folder.path.clone();
    let certificates = Certificates::make(&dir)?;
    let mut ports = kafka::free_ports(options.brokers, options.guarded_kafka);
    let (postgres_port, redis_port) = (ports::free_port(), ports::free_port());
    // First: brokers have to know by which ports they are reached.
    let cables = (0..options.cables)
        .map(|_| lay_cable(&mut ports, postgres_port, redis_port))
        .collect::<Result<Vec<Cable>>>()?;
    say(format!(
        "starting Kafka ({}), PostgreSQL and Redis",
        options.brokers
    ));
    // Kafka's and Postgres's preparations take about a second each: side by side.
    let (kafka, postgres) = std::thread::scope(|scope| {
        let kafka =
            scope.spawn(|| kafka::start(&installed, &dir, &ports, options.optimize, &certificates));
        let guarded = options.guarded_postgres.then_some(&certificates);
        let postgres = postgres::start(&installed, &dir, postgres_port, options.durable, guarded);
        (kafka.join(), postgres)
    });
    let kafka = kafka.expect("starting Kafka does not panic")?;
    let postgres = postgres?;
    if let Some(elsewhere) = &postgres.elsewhere {
        folder.adopt(elsewhere)?;
    }
    let way = redis::Way::Plain;
    let redis = redis::start(
        options.redis,
        way,
        &installed,
        &dir,
        redis_port,
        &certificates,
    )?;
    let addresses = Addresses {
        kafka_brokers: kafka::brokers(&ports, |its| Some(its.clients)).unwrap_or_default(),
        guarded_kafka: guarded_kafka(&ports),
        brokers: options.brokers,
        postgres_url: format!("postgres://postgres@127.0.0.1:{postgres_port}/postgres"),
        guarded_postgres_url: options
            .guarded_postgres
            .then(|| postgres::guarded_url(postgres_port)),
        redis_url: redis.url().to_owned(),
        redis_tls_url: redis.tls_url().map(str::to_owned),
        redis: options.redis,
        redis_ports: redis.ports.clone(),
        dir,
    };
    let own = Own {
        kafka,
        postgres: postgres.server,
        redis,
        cables,
        folder: RemovedAtEnd(folder),
        turn: None,
    };
    Ok((addresses, own))
}

fn guarded_kafka(brokers: &[kafka::Ports]) -> Option<GuardedKafka> {
    Some(GuardedKafka {
        password: kafka::brokers(brokers, |its| Some(its.guarded?.password))?,
        certificate: kafka::brokers(brokers, |its| Some(its.guarded?.certificate))?,
    })
}

/// Proxies before all servers, and a listener at each broker for who comes through them.
fn lay_cable(brokers: &mut [kafka::Ports], postgres: u16, redis: u16) -> Result<Cable> {
    let listens: Vec<u16> = brokers.iter().map(|_| ports::free_port()).collect();
    let cable = Cable::before(&listens, postgres, redis)?;
    for (number, (broker, listens)) in brokers.iter_mut().zip(listens).enumerate() {
        broker.cables.push(kafka::Cabled {
            listens,
            advertises: cable.kafka(number).port(),
        });
    }
    Ok(cable)
}
