//! The connections to Redis that a process shares: one for its lease, one for everything else.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig, PubSub};
use redis::io::tcp::TcpSettings;
use redis::{FromRedisValue, IntoConnectionInfo, Pipeline, Script, ToRedisArgs};
use tokio::sync::{Semaphore, SemaphorePermit};

/// An answer that takes longer is given up. A script may have run all the same, so every script is
/// safe to repeat.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A peer that acknowledges nothing for so long is gone. Without it a half-open connection would be
/// used for the quarter of an hour that TCP goes on resending.
const UNACKNOWLEDGED: Duration = Duration::from_secs(3);

/// Pipelines sent and not answered yet. One is read while the next is written; more would only queue
/// on the connection, where their time limits already run and the renewal of a lease is behind them.
const PIPELINES_UNDER_WAY: usize = 2;

/// Scripts sent and not answered yet, beside those of leases. A crowd that comes or goes at once
/// waits here, where no time limit of the connection runs yet.
const SCRIPTS_UNDER_WAY: usize = 64;

/// How long a script may wait for its turn. Tens of thousands are through in that time, unless Redis
/// hangs; then those who wait are to hear of it.
const TURN_WITHIN: Duration = Duration::from_secs(10);

/// Where Redis is, and the name space in it.
#[derive(Clone)]
pub struct RedisSettings {
    /// `redis://[user:password@]host:port[/db]`, or `rediss://` for TLS. May hold a password.
    pub url: String,
    /// Before every key, so that several installations share a server. Without braces: they would
    /// take the place of the keys' own hash tags.
    pub key_prefix: String,
}

// The URL may hold a password.
impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings")
            .field("key_prefix", &self.key_prefix)
            .finish_non_exhaustive()
    }
}

/// Why something about homes or routes could not be done.
#[derive(Debug, thiserror::Error)]
pub enum RoutingError {
    /// The settings can't be used; nothing was tried.
    #[error("{setting} can't be used: {reason}")]
    Settings {
        /// The setting's name.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Redis could not be asked, did not answer in time, or refused. What was asked may have been
    /// done all the same.
    #[error("Redis could not {operation}")]
    Redis {
        /// What was wanted.
        operation: &'static str,
        /// What came instead.
        source: redis::RedisError,
    },
    /// It did not answer a moment ago, and has not since; nothing was tried.
    #[error("Redis does not answer")]
    Away,
    /// Too many wait for Redis already; nothing was tried.
    #[error("there was no turn in time to {operation}")]
    Crowded {
        /// What was wanted.
        operation: &'static str,
    },
}

impl RedisSettings {
    /// Whether they can ever work, without asking Redis.
    ///
    /// # Errors
    /// [`RoutingError::Settings`], with the setting and what is wrong with it.
    pub fn check(&self) -> Result<(), RoutingError> {
        self.client().map(drop)
    }

    fn client(&self) -> Result<redis::Client, RoutingError> {
        if self.key_prefix.contains(['{', '}']) {
            return Err(RoutingError::Settings {
                setting: "redis.key_prefix",
                reason: "it must not contain braces".to_owned(),
            });
        }
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_user_timeout(UNACKNOWLEDGED);
        let info = self.url.as_str().into_connection_info();
        let info = info.map_err(|_| unusable())?.set_tcp_settings(tcp);
        redis::Client::open(info).map_err(|_| unusable())
    }
}

/// The message of the client's own error could repeat the URL, and with it the password.
fn unusable() -> RoutingError {
    RoutingError::Settings {
        setting: "redis.url",
        reason: "it is not of the form redis://host:port".to_owned(),
    }
}

impl RoutingError {
    /// The label of this error in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Settings { .. } => "settings",
            Self::Redis { source, .. } if source.is_timeout() => "timeout",
            Self::Redis { source, .. } if source.is_io_error() => "unreachable",
            Self::Redis { .. } => "refused",
            Self::Away => "away",
            Self::Crowded { .. } => "crowded",
        }
    }

    /// Whether Redis did not answer, as far as can be told; not that it refused.
    pub(crate) fn is_silence(&self) -> bool {
        matches!(self.label(), "timeout" | "unreachable")
    }
}

/// Two connections to Redis, and further ones on request: cheap to clone, shared by all, with many requests under way at once.
/// Leases have one to themselves: the longest queue of anything else must not cost a home.
///
/// Each connects with its first request and again after each loss. While Redis is away every request
/// fails at once; how to wait between attempts is the caller's to say.
#[derive(Clone)]
pub struct Redis {
    client: redis::Client,
    connection: ConnectionManager,
    leases: ConnectionManager,
    key_prefix: String,
    pipelines: Arc<Semaphore>,
    scripts: Arc<Semaphore>,
}

impl Redis {
    /// Makes the connections ready to be used; fails only if the settings can't ever work. Must be
    /// called inside a tokio runtime.
    pub fn connect(settings: &RedisSettings) -> Result<Self, RoutingError> {
        let client = settings.client()?;
        // No retries inside: all requests would wait behind them, and a caller that holds a lease
        // must know at once. A failed attempt is made again by the next request.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_connection_timeout(Some(CONNECT_TIMEOUT));
        let connect = || {
            ConnectionManager::new_lazy_with_config(client.clone(), config.clone())
                .map_err(|_| unusable())
        };
        Ok(Self {
            connection: connect()?,
            leases: connect()?,
            client,
            key_prefix: settings.key_prefix.clone(),
            pipelines: Arc::new(Semaphore::new(PIPELINES_UNDER_WAY)),
            scripts: Arc::new(Semaphore::new(SCRIPTS_UNDER_WAY)),
        })
    }

    /// Whether Redis answers.
    pub async fn ping(&self) -> Result<(), RoutingError> {
        let mut connection = self.connection.clone();
        redis::cmd("PING")
            .exec_async(&mut connection)
            .await
            .map_err(|source| RoutingError::Redis {
                operation: "answer a ping",
                source,
            })
    }

    /// A connection for hearing what is published: such a one can do nothing else.
    pub(crate) async fn line(&self) -> Result<PubSub, redis::RedisError> {
        self.client.get_async_pubsub().await
    }

    /// A key inside this installation's name space.
    pub(crate) fn key(&self, name: impl fmt::Display) -> String {
        format!("{}{name}", self.key_prefix)
    }

    /// Runs one script in its turn; it sees the keys of one hash tag only.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        operation: &'static str,
        script: &Script,
        key: &str,
        args: impl ToRedisArgs,
    ) -> Result<T, RoutingError> {
        let turn = tokio::time::timeout(TURN_WITHIN, self.scripts.acquire()).await;
        let _turn = turn.map_err(|_elapsed| RoutingError::Crowded { operation })?;
        invoke(&self.connection, operation, script, key, args).await
    }

    /// Runs one script of a lease: at once, whatever else waits.
    pub(crate) async fn run_for_lease<T: FromRedisValue>(
        &self,
        operation: &'static str,
        script: &Script,
        key: &str,
        args: impl ToRedisArgs,
    ) -> Result<T, RoutingError> {
        invoke(&self.leases, operation, script, key, args).await
    }

    /// Waits until a pipeline may be sent, in the order of asking.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        Turn {
            connection: self.connection.clone(),
            // An error would mean that the semaphore was closed, which nobody does.
            _permit: self.pipelines.acquire().await.ok(),
        }
    }
}

async fn invoke<T: FromRedisValue>(
    connection: &ConnectionManager,
    operation: &'static str,
    script: &Script,
    key: &str,
    args: impl ToRedisArgs,
) -> Result<T, RoutingError> {
    script
        .key(key)
        .arg(args)
        .invoke_async(&mut connection.clone())
        .await
        .map_err(|source| RoutingError::Redis { operation, source })
}

/// The right to send one pipeline, now.
pub(crate) struct Turn<'a> {
    connection: ConnectionManager,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Turn<'_> {
    /// Sends all of a pipeline in one go and reads its answers.
    pub(crate) async fn ask<T: FromRedisValue>(
        mut self,
        operation: &'static str,
        pipeline: &Pipeline,
    ) -> Result<T, RoutingError> {
        pipeline
            .query_async(&mut self.connection)
            .await
            .map_err(|source| RoutingError::Redis { operation, source })
    }
}
