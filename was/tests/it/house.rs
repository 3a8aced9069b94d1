//! A gateway process on a space of its own.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use service::kafka::{Admin, KafkaSettings, TopicSpec};
use stack::{Space, Stack, free_port};
use store::{Store, StoreSettings};
use tokio::process::{Child, Command};

use crate::desk::Desk;
use crate::socket::Socket;

/// How long anything may take before a test fails. Below the minute after which the first audit comes, which would heal
/// what is to heal sooner.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);

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
        Admin::connect(&kafka, PATIENCE)
            .unwrap()
            .ensure_topics(&specs)
            .await
            .unwrap();
        let store = Store::connect(&StoreSettings::new(space.postgres_url()))
            .await
            .unwrap();
        store.setup().await.unwrap();
        store.ensure_lanes(2).await.unwrap();
        Self {
            space,
            store,
            kafka,
            http: reqwest::Client::new(),
        }
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
            .env("SWITCHBOARD_HOMES", "4")
            .env("SWITCHBOARD_WAS_NAME", name)
            .env("SWITCHBOARD_WAS_LISTEN", format!("127.0.0.1:{port}"))
            .env("SWITCHBOARD_ADMIN_LISTEN", format!("127.0.0.1:{admin}"))
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
        let gateway = self.process(name, env);
        until("ready", || async {
            let answer = gateway.http.get(gateway.admin_url("/readyz")).send().await;
            let answer = answer.map_err(|error| error.to_string())?;
            if answer.status().is_success() {
                return Ok(());
            }
            Err(answer.text().await.unwrap_or_default())
        })
        .await;
        gateway
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
        let body = serde_json::json!({ "user": name }).to_string();
        let answer = self
            .http
            .post(self.url("/v1/dev/token"))
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        let answer: serde_json::Value = answer.json().await.unwrap();
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
        let mut socket = self.socket().await;
        socket.hello(&token, device, cursors).await;
        assert_eq!(socket.next().await["type"], "welcome");
        socket
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
