//! A place of one's own on shared servers: tests and load runs don't see each other.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use service::kafka::{Admin, KafkaError, KafkaSettings};
use store::{StoreSettings, TlsMode};

use crate::{
    certificates::Certificates,
    error::{Doing, Error, Result},
    servers::redis::{MASTER, RedisKind},
    stack::{Addresses, Stack},
};

/// Own topics (by prefix), an own database, own Redis keys (by prefix). Deleted when dropped.
#[derive(Debug)]
pub struct Space {
    addresses: Addresses,
    name: String,
    postgres_url: String,
    dir: PathBuf,
    token_secret: String,
    /// Not when the servers end with the test: they may be down by then.
    delete: bool,
}

impl Space {
    pub(crate) async fn make(stack: &Stack) -> Result<Self> {
        let addresses = stack.addresses().clone();
        let id = uuid::Uuid::new_v4().simple().to_string();
        let name = format!("t{}", &id[..12]);
        let dir = addresses.dir.join("spaces").join(&name);
        fs::create_dir_all(&dir).doing(|| format!("create {}", dir.display()))?;
        let server = StoreSettings::new(&addresses.postgres_url);
        let postgres_url = store::admin::create_database(&server, &name)
            .await
            .map_err(Error::Database)?;
        let space = Self {
            addresses,
            name,
            postgres_url,
            dir,
            token_secret: uuid::Uuid::new_v4().simple().to_string(),
            delete: !stack.is_alone(),
        };
        if space.addresses.guarded_postgres_url.is_some() {
            let secret = space.postgres_secret();
            fs::write(&secret, space.guarded_postgres().url + "\n")
                .doing(|| format!("write {}", secret.display()))?;
        }
        Ok(space)
    }

    pub(crate) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// What the space is called: part of all its names.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `kafka.brokers`.
    #[must_use]
    pub fn kafka_brokers(&self) -> &str {
        &self.addresses.kafka_brokers
    }

    /// How many brokers there are; so many copies a topic may have.
    #[must_use]
    pub fn brokers(&self) -> usize {
        self.addresses.brokers
    }

    /// `kafka.topic_prefix`.
    #[must_use]
    pub fn topic_prefix(&self) -> String {
        format!("{}-", self.name)
    }

    /// `postgres.url`, of the space's own database; empty until `Store::setup`.
    #[must_use]
    pub fn postgres_url(&self) -> &str {
        &self.postgres_url
    }

    /// The space's own database as a user whom the server lets in over TLS only, and how the server proves who it is.
    /// With [`StoreSettings`] whose `tls` is another, the door stays shut.
    ///
    /// # Panics
    /// On servers that were started without [`Options::guarded_postgres`](crate::Options::guarded_postgres).
    #[must_use]
    pub fn guarded_postgres(&self) -> StoreSettings {
        let url = self.addresses.guarded_postgres_url.as_deref();
        let url = url.expect("the servers have a guarded Postgres");
        let server = url.strip_suffix("postgres").unwrap_or(url);
        StoreSettings {
            tls: TlsMode::VerifyFull,
            ca_file: Some(Certificates::of(&self.addresses.dir).ca()),
            ..StoreSettings::new(format!("{server}{}", self.name))
        }
    }

    /// The file that holds the address, password and all, as an orchestrator mounts it.
    fn postgres_secret(&self) -> PathBuf {
        self.dir.join("postgres-url")
    }

    /// [`guarded_postgres`](Self::guarded_postgres) as environment variables; they stand above those of [`env`](Self::env).
    /// The address is in a file.
    ///
    /// # Panics
    /// As [`guarded_postgres`](Self::guarded_postgres).
    #[must_use]
    pub fn guarded_postgres_env(&self) -> Vec<(String, String)> {
        let settings = self.guarded_postgres();
        let ca_file = settings.ca_file.unwrap_or_default();
        let secret = self.postgres_secret();
        [
            // The one in `env` is another way in.
            ("SWITCHBOARD_POSTGRES_URL", String::new()),
            (
                "SWITCHBOARD_POSTGRES_URL_FILE",
                secret.display().to_string(),
            ),
            ("SWITCHBOARD_POSTGRES_TLS", settings.tls.name().to_owned()),
            (
                "SWITCHBOARD_POSTGRES_CA_FILE",
                ca_file.display().to_string(),
            ),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    /// `redis.url`.
    #[must_use]
    pub fn redis_url(&self) -> &str {
        &self.addresses.redis_url
    }

    /// Redis over TLS, as environment variables; they stand above those of [`env`](Self::env).
    ///
    /// # Panics
    /// When it is a cluster, or has sentinels.
    #[must_use]
    pub fn guarded_redis_env(&self) -> Vec<(String, String)> {
        let url = self.addresses.redis_tls_url.clone();
        let ca_file = Certificates::of(&self.addresses.dir).ca();
        [
            ("SWITCHBOARD_REDIS_URL", url.expect("there is one Redis")),
            ("SWITCHBOARD_REDIS_CA_FILE", ca_file.display().to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    /// `redis.key_prefix`.
    #[must_use]
    pub fn key_prefix(&self) -> String {
        format!("{}:", self.name)
    }

    /// `auth.hs256_secret`: 32 characters, by which tests sign tokens of their own.
    #[must_use]
    pub fn token_secret(&self) -> String {
        self.token_secret.clone()
    }

    /// A folder of its own: settings files, logs of processes. Kept when the test fails.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The settings that lead a service here, as environment variables.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        let redis = match self.addresses.redis {
            RedisKind::One => None,
            RedisKind::Cluster => Some(("SWITCHBOARD_REDIS_CLUSTER", "true".to_owned())),
            RedisKind::Sentinel => Some(("SWITCHBOARD_REDIS_SENTINEL_MASTER", MASTER.to_owned())),
        };
        [
            ("SWITCHBOARD_KAFKA_BROKERS", self.kafka_brokers().to_owned()),
            ("SWITCHBOARD_KAFKA_TOPIC_PREFIX", self.topic_prefix()),
            ("SWITCHBOARD_POSTGRES_URL", self.postgres_url.clone()),
            ("SWITCHBOARD_REDIS_URL", self.redis_url().to_owned()),
            ("SWITCHBOARD_REDIS_KEY_PREFIX", self.key_prefix()),
        ]
        .into_iter()
        .chain(redis)
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }
}

/// How long deleting may take before what is there is left to the end of the stack.
const PATIENCE: Duration = Duration::from_secs(30);

impl Drop for Space {
    fn drop(&mut self) {
        // The logs of a test that failed are kept for as long as the stack.
        if !std::thread::panicking() {
            // It lies in the stack's folder, which is removed as a whole.
            let _ = fs::remove_dir_all(&self.dir);
        }
        if !self.delete {
            return;
        }
        // A test's own runtime may be gone, or be this very thread: a thread and a runtime of its own, waited for, as the
        // process may end right after its last test.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                if let Ok(runtime) = runtime {
                    runtime.block_on(self.delete());
                }
            });
        });
    }
}

impl Space {
    /// What can't be deleted goes when the stack ends.
    async fn delete(&self) {
        let server = StoreSettings::new(&self.addresses.postgres_url);
        let (topics, database) = tokio::join!(
            tokio::time::timeout(PATIENCE, self.delete_topics()),
            tokio::time::timeout(PATIENCE, store::admin::drop_database(&server, &self.name)),
        );
        if !matches!(topics, Ok(Ok(()))) {
            tracing::debug!(?topics, space = self.name, "topics left behind");
        }
        if !matches!(database, Ok(Ok(()))) {
            tracing::debug!(?database, space = self.name, "database left behind");
        }
    }

    async fn delete_topics(&self) -> Result<(), KafkaError> {
        let settings = KafkaSettings::plain(self.kafka_brokers(), self.topic_prefix());
        Admin::connect(&settings, PATIENCE)?
            .delete_topics(&settings.topics().all())
            .await
    }
}
