//! A place of one's own on shared servers: tests and load runs don't see each other.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    error::{Doing, Error, Result},
    stack::{Addresses, Stack},
};

/// Own topics (by prefix), an own database, own Redis keys (by prefix). Deleted when dropped.
#[derive(Debug)]
pub struct Space {
    addresses: Addresses,
    name: String,
    postgres_url: String,
    dir: PathBuf,
}

impl Space {
    pub(crate) async fn make(stack: &Stack) -> Result<Self> {
        let addresses = stack.addresses().clone();
        let id = uuid::Uuid::new_v4().simple().to_string();
        let name = format!("t{}", &id[..12]);
        let dir = addresses.dir.join("spaces").join(&name);
        fs::create_dir_all(&dir).doing(|| format!("create {}", dir.display()))?;
        let postgres_url = database(&addresses.postgres_url, "CREATE DATABASE", &name)
            .await
            .map_err(|error| Error::Database(Box::new(error)))?;
        Ok(Self {
            addresses,
            name,
            postgres_url,
            dir,
        })
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

    /// `redis.url`.
    #[must_use]
    pub fn redis_url(&self) -> &str {
        &self.addresses.redis_url
    }

    /// `redis.key_prefix`.
    #[must_use]
    pub fn key_prefix(&self) -> String {
        format!("{}:", self.name)
    }

    /// A folder of its own: settings files, logs of processes.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The settings that lead a service here, as environment variables.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        [
            ("SWITCHBOARD_KAFKA_BROKERS", self.kafka_brokers().to_owned()),
            ("SWITCHBOARD_KAFKA_TOPIC_PREFIX", self.topic_prefix()),
            ("SWITCHBOARD_POSTGRES_URL", self.postgres_url.clone()),
            ("SWITCHBOARD_REDIS_URL", self.redis_url().to_owned()),
            ("SWITCHBOARD_REDIS_KEY_PREFIX", self.key_prefix()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // A test's own runtime may be gone or may be this very thread: a thread and a runtime of its own, waited for, as
        // the process may end right after its last test.
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
        if let Err(error) = database(
            &self.addresses.postgres_url,
            "DROP DATABASE IF EXISTS",
            &self.name,
        )
        .await
        {
            tracing::debug!(%error, space = self.name, "database left behind");
        }
    }
}

async fn database(url: &str, verb: &str, name: &str) -> Result<String> {
    let force = if verb.starts_with("DROP") {
        " WITH (FORCE)"
    } else {
        ""
    };
    let output = tokio::process::Command::new("psql")
        .args([url, "-X", "-q", "-c", &format!("{verb} {name}{force}")])
        .output()
        .await
        .doing(|| "run psql".into())?;
    if output.status.success() {
        let server = url.rsplit_once('/').map_or(url, |(server, _)| server);
        return Ok(format!("{server}/{name}"));
    }
    Err(Error::Failed {
        what: verb.to_lowercase(),
        status: output.status.to_string(),
        output: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
