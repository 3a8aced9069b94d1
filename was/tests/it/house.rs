//! A gateway process on a space of its own.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use routing::{HomeTable, Redis, RedisSettings};
use rustix::process::{Pid, Signal, kill_process};
use service::kafka::{Admin, KafkaSettings, TopicSpec};
use stack::{Space, Stack, free_port};
use store::{Store, StoreSettings};
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

use crate::desk::Desk;
use crate::rest::call;
use crate::socket::Socket;

/// How long anything may take before a test fails. Below the minute after which the first audit comes, which would heal
/// what is to heal sooner.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);

/// How long topics and a gateway may take to be there: nothing heals by itself meanwhile.
const START_WITHIN: Duration = Duration::from_secs(120);

/// How many homes there are.
pub(crate) const HOMES: i32 = 4;

/// What a machine that stands still for some seconds must not bring into a test that is about something else. Tests of
/// a lost home say a shorter lease.
const UNHURRIED: [(&str, &str); 3] = [
    ("SWITCHBOARD_WAS_HOME_LEASE", "20s"),
    ("SWITCHBOARD_WAS_GREET_WITHIN", "30s"),
    ("SWITCHBOARD_WAS_OUTCOME_TIMEOUT", "10s"),
];

/// Waits for a condition, with a deadline and the last state in the message.
pub(crate) async fn until<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(last) if Instant::now() > deadline => panic!("{what}: {last}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// A space with topics and schema.
pub(crate) struct House {
    pub(crate) space: Space,
    pub(crate) store: Store,
    pub(crate) kafka: KafkaSettings,
    pub(crate) http: reqwest::Client,
    heard: OnceCell<()>,
}

impl House {
    pub(crate) async fn new() -> Self {
        let space = Stack::shared().await.unwrap().space().await.unwrap();
        let kafka = KafkaSettings::plain(space.kafka_brokers(), space.topic_prefix());
        let topic = |name: &Arc<str>, partitions| TopicSpec {
            name: name.to_string(),
            partitions,
            replication: 1,
            configs: Vec::new(),
        };
        let topics = kafka.topics();
        let specs = [
            topic(topics.send(), 2),
            topic(topics.signal(), 2),
            topic(topics.receive(), 5),
            topic(topics.push(), 2),
        ];
        Admin::connect(&kafka, START_WITHIN)
            .unwrap()
            .ensure_topics(&specs)
            .await
            .unwrap();
        let patient = StoreSettings {
            statement_timeout: PATIENCE,
            lock_timeout: PATIENCE,
            ..StoreSettings::new(space.postgres_url())
        };
        let store = Store::connect(&patient).await.unwrap();
        store.setup().await.unwrap();
        store.ensure_lanes(2).await.unwrap();
        Self {
            space,
            store,
            kafka,
            http: reqwest::Client::new(),
            heard: OnceCell::new(),
        }
    }

    /// The space's Redis; a machine that stands still fails no request to it.
    pub(crate) fn redis(&self) -> Redis {
        let settings = RedisSettings::new(self.space.redis_url(), self.space.key_prefix());
        Redis::connect_patiently(&settings, PATIENCE).unwrap()
    }

    /// As if a gateway had run here before: the first one does not wait for a lease (the grace) to see who comes back.
    async fn heard(&self) {
        let table = HomeTable::new(&self.redis(), HOMES);
        let nobody = table.take_part("nobody", 0, Duration::ZERO);
        nobody.await.unwrap();
    }

    /// A gateway that has just been started.
    pub(crate) fn process(&self, name: &str, env: &[(&str, &str)]) -> Gateway {
        let (port, admin) = (free_port(), free_port());
        let log = std::fs::File::create(self.space.dir().join(format!("{name}.log"))).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_was"))
            .arg("serve")
            .envs(self.space.env())
            .env("SWITCHBOARD_AUTH_HS256_SECRET", self.space.token_secret())
            .env("SWITCHBOARD_AUTH_DEV_TOKENS", "true")
            .env("SWITCHBOARD_HOMES", HOMES.to_string())
            .env("SWITCHBOARD_WAS_NAME", name)
            .env("SWITCHBOARD_WAS_LISTEN", format!("127.0.0.1:{port}"))
            .env("SWITCHBOARD_ADMIN_LISTEN", format!("127.0.0.1:{admin}"))
            .envs(UNHURRIED)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Gateway {
            child,
            port,
            admin,
            http: self.http.clone(),
        }
    }

    /// A gateway that is ready.
    pub(crate) async fn gateway(&self, name: &str, env: &[(&str, &str)]) -> Gateway {
        self.heard.get_or_init(|| self.heard()).await;
        let mut gateway = self.process(name, env);
        let deadline = Instant::now() + START_WITHIN;
        loop {
            let answer = gateway.http.get(gateway.admin_url("/readyz")).send().await;
            let why = match answer {
                Ok(answer) if answer.status().is_success() => return gateway,
                Ok(answer) => answer.text().await.unwrap_or_default(),
                Err(error) => error.to_string(),
            };
            assert!(Instant::now() < deadline, "{name} is not ready: {why}");
            let ended = gateway.child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", self.log(name));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the last process of a name has said.
    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.space.dir().join(format!("{name}.log"))).unwrap()
    }

    pub(crate) async fn desk(&self) -> Desk {
        Desk::open(self).await
    }
}

pub(crate) struct Gateway {
    pub(crate) child: Child,
    pub(crate) port: u16,
    admin: u16,
    pub(crate) http: reqwest::Client,
}

impl Gateway {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn admin_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.admin)
    }

    /// Whether it is ready: the status, and why not.
    pub(crate) async fn readiness(&self) -> (u16, String) {
        let answer = self.http.get(self.admin_url("/readyz")).send().await;
        let answer = answer.unwrap();
        (
            answer.status().as_u16(),
            answer.text().await.unwrap_or_default(),
        )
    }

    pub(crate) async fn token(&self, name: &str) -> (i64, String) {
        let body = serde_json::json!({ "user": name });
        let (status, answer) = call(self, "POST", "/v1/dev/token", "", None, Some(body)).await;
        assert_eq!(status, 200, "{answer}");
        (
            answer["user"].as_i64().unwrap(),
            answer["token"].as_str().unwrap().to_owned(),
        )
    }

    pub(crate) async fn socket(&self) -> Socket {
        Socket::open(self.port).await
    }

    /// A greeted session of a user, by name.
    pub(crate) async fn session(&self, name: &str, device: &str, cursors: &[(i64, i64)]) -> Socket {
        let (_, token) = self.token(name).await;
        self.greeted(&token, device, cursors).await
    }

    /// A greeted session. Who is told to come back, as Redis or Postgres did not answer in time, comes back.
    pub(crate) async fn greeted(
        &self,
        token: &str,
        device: &str,
        cursors: &[(i64, i64)],
    ) -> Socket {
        until("a welcome", || async {
            let mut socket = self.socket().await;
            socket.hello(token, device, cursors).await;
            match socket.ended_or_welcome().await {
                None => Ok(socket),
                Some(1013) => Err("try again later".to_owned()),
                Some(code) => panic!("{code}"),
            }
        })
        .await
    }

    /// All metrics, as Prometheus gets them.
    pub(crate) async fn metrics(&self) -> String {
        let page = self.http.get(self.admin_url("/metrics")).send().await;
        page.unwrap().text().await.unwrap()
    }

    /// A metric's value.
    pub(crate) async fn metric(&self, line: &str) -> i64 {
        let text = self.metrics().await;
        let value = text
            .lines()
            .find_map(|l| l.strip_prefix(line)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {line} in\n{text}"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }
}
