//! The connections to one Redis server that a process shares: one for its lease, one for everything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig, PubSub};
use redis::{
    Client, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, ServerErrorKind,
    ToRedisArgs,
};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tracing::{info, warn};

use crate::connection::RoutingError;
use crate::observe::{Observer, Watched};
use crate::operation::{Operation, When};
use crate::settings::{Address, Way};

/// An answer that takes longer is given up. A script may have run all the same, so every script is
/// safe to repeat.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Pipelines sent and not answered yet. One is read while the next is written; more would only queue
/// on the connection, where their time limits already run and the renewal of a lease is behind them.
const PIPELINES_UNDER_WAY: usize = 2;

/// Scripts sent and not answered yet, beside those of leases. A crowd that comes or goes at once
/// waits here, where no time limit of the connection runs yet.
const SCRIPTS_UNDER_WAY: usize = 64;

/// How long a script may wait for its turn. Tens of thousands are through in that time, unless Redis
/// hangs; then those who wait are to hear of it.
const TURN_WITHIN: Duration = Duration::from_secs(10);

/// Between two pings while a server is away.
const AGAIN: Duration = Duration::from_millis(50);

/// Numbers servers, so that no two are ever taken for each other.
static SERVERS: AtomicU64 = AtomicU64::new(0);

/// One server. Leases have a connection to themselves: the longest queue of anything else must not
/// cost a home.
///
/// Each connects with its first request and again after each loss. While the server is away every
/// request fails at once; how to wait between attempts is the caller's to say.
pub(crate) struct Server {
    address: Address,
    client: Client,
    connection: ConnectionManager,
    leases: ConnectionManager,
    pipelines: Semaphore,
    scripts: Semaphore,
    /// It did not answer, and has not since.
    away: AtomicBool,
    /// It refuses to be written to, as only a replica does.
    demoted: AtomicBool,
    number: u64,
    cuts: AtomicU64,
    /// Woken when it may not be the one to ask any more.
    doubts: Arc<Notify>,
    observer: Observer,
}

/// A server, and how often the connection to it was lost: while it is the same, what was written there
/// and acknowledged stands there, unless the server itself has lost it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    server: u64,
    cuts: u64,
}

impl Server {
    /// Must be called inside a tokio runtime.
    pub(crate) fn new(address: Address, way: &Way, doubts: &Arc<Notify>) -> RedisResult<Self> {
        let client = way.client(&address)?;
        let connect = || ConnectionManager::new_lazy_with_config(client.clone(), config(way));
        Ok(Self {
            connection: connect()?,
            leases: connect()?,
            address,
            client,
            pipelines: Semaphore::new(PIPELINES_UNDER_WAY),
            scripts: Semaphore::new(SCRIPTS_UNDER_WAY),
            away: AtomicBool::new(false),
            demoted: AtomicBool::new(false),
            number: SERVERS.fetch_add(1, Ordering::Relaxed),
            cuts: AtomicU64::new(0),
            doubts: Arc::clone(doubts),
            observer: way.observer.clone(),
        })
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn link(&self) -> Link {
        Link {
            server: self.number,
            cuts: self.cuts.load(Ordering::Relaxed),
        }
    }

    /// A connection for hearing what is published: such a one can do nothing else.
    pub(crate) async fn line(&self) -> RedisResult<PubSub> {
        self.client.get_async_pubsub().await
    }

    /// Asks for what has nothing to do with keys.
    pub(crate) async fn question<T: FromRedisValue>(&self, pipeline: &Pipeline) -> RedisResult<T> {
        let answer = pipeline.query_async(&mut self.connection.clone()).await;
        answer.inspect_err(|error| self.count(error))
    }

    /// Runs one script, on the connection and at the time that are its operation's.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        operation: &Operation,
        key: &str,
        args: impl ToRedisArgs,
    ) -> Result<T, RoutingError> {
        let Operation { name, script, when } = operation;
        let watched = Watched::new(&self.observer, name, Instant::now());
        let (connection, _turn) = match when {
            When::AtOnce => (&self.leases, None),
            When::InTurn => {
                let turn = tokio::time::timeout(TURN_WITHIN, self.scripts.acquire()).await;
                let Ok(turn) = turn else {
                    return watched.end(Err(RoutingError::Crowded { operation: name }));
                };
                (&self.connection, Some(turn))
            }
        };
        let mut call = script.key(key);
        let answer = call.arg(args).invoke_async(&mut connection.clone()).await;
        let answer = answer.inspect_err(|error| self.count(error));
        watched.end(answer.map_err(|source| self.failed(name, source)))
    }

    /// Waits until a pipeline may be sent, in the order of asking.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        Turn {
            server: self,
            asked: Instant::now(),
            // An error would mean that the semaphore was closed, which nobody does.
            _permit: self.pipelines.acquire().await.ok(),
        }
    }

    /// Whoever asks first finds the connection lost, and nobody after that: so each who asks has to count it,
    /// whatever it was about.
    fn count(&self, error: &RedisError) {
        if error.is_unrecoverable_error() {
            self.cuts.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What a failure means for this server, besides what it means for who asked.
    fn failed(&self, operation: &'static str, source: RedisError) -> RoutingError {
        if source.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly) {
            self.demoted.store(true, Ordering::Relaxed);
        }
        if is_doubtful(&source) {
            self.doubts.notify_one();
        }
        RoutingError::Redis { operation, source }
    }

    /// Whether it is no primary any more, as far as was seen by these connections: others to the same address
    /// may lead elsewhere.
    pub(crate) fn is_demoted(&self) -> bool {
        self.demoted.load(Ordering::Relaxed)
    }

    pub(crate) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// It did not answer: until it does again, nobody looks users up in it. Whoever notices it first
    /// starts to ask for it; that ends with the answer, or with the server.
    pub(crate) fn away(self: &Arc<Self>, error: &RoutingError) {
        self.doubts.notify_one();
        if self.away.swap(true, Ordering::Relaxed) {
            return;
        }
        // Once, and not by each of those who are not answered.
        warn!(server = %self.address, %error, kind = error.label(), "Redis does not answer");
        let (mut connection, server) = (self.connection.clone(), Arc::downgrade(self));
        tokio::spawn(async move {
            loop {
                let answer = redis::cmd("PING").exec_async(&mut connection).await;
                let Some(server) = server.upgrade() else {
                    return;
                };
                if let Err(error) = &answer {
                    server.count(error);
                } else {
                    server.away.store(false, Ordering::Relaxed);
                    info!(server = %server.address, "Redis answers again");
                    return;
                }
                drop(server);
                tokio::time::sleep(AGAIN).await;
            }
        });
    }
}

/// No retries inside: all requests would wait behind them, and a caller that holds a lease must know
/// at once. A failed attempt is made again by the next request.
fn config(way: &Way) -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_response_timeout(Some(way.answer_within))
        .set_connection_timeout(Some(CONNECT_TIMEOUT.max(way.answer_within)))
}

/// Whether another server may be the one to ask by now.
fn is_doubtful(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => matches!(
            kind,
            ServerErrorKind::Moved
                | ServerErrorKind::Ask
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::BusyLoading
        ),
        kind => kind == ErrorKind::Io || error.is_unrecoverable_error(),
    }
}

/// The right to send one pipeline, now.
pub(crate) struct Turn<'a> {
    server: &'a Server,
    /// When the turn was asked for.
    asked: Instant,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Turn<'_> {
    /// Sends all of a pipeline in one go and reads its answers.
    pub(crate) async fn ask<T: FromRedisValue>(
        self,
        operation: &'static str,
        pipeline: &Pipeline,
    ) -> Result<T, RoutingError> {
        let watched = Watched::new(&self.server.observer, operation, self.asked);
        let answers = self.server.question(pipeline).await;
        watched.end(answers.map_err(|source| self.server.failed(operation, source)))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::settings::RedisSettings;

    /// Answers every command with `OK`, on one connection after the other, until it is aborted: then the last one is lost.
    fn agree(listener: &Arc<TcpListener>) -> JoinHandle<()> {
        let listener = Arc::clone(listener);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = [0; 4_096];
                // Who was not answered in time comes again.
                while let Ok(read @ 1..) = stream.read(&mut asked).await {
                    // Each command begins with how many words it has: `*2`.
                    let commands = asked[..read].iter().filter(|byte| **byte == b'*').count();
                    let answers = "+OK\r\n".repeat(commands);
                    if stream.write_all(answers.as_bytes()).await.is_err() {
                        break;
                    }
                }
            }
        })
    }

    fn ping() -> Pipeline {
        let mut asking = Pipeline::new();
        asking.cmd("PING");
        asking
    }

    /// A server, where others of its address will listen, and its link while it was connected: now it is not.
    async fn cut() -> (Arc<Server>, Arc<TcpListener>, Link) {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let mut known = RedisSettings::new(url, "").understood().unwrap();
        known.way.answer_within = Duration::from_secs(60);
        let doubts = Arc::new(Notify::new());
        let server = Server::new(known.begin[0].clone(), &known.way, &doubts).unwrap();
        let connected = agree(&listener);
        let (said,): (String,) = server.question(&ping()).await.unwrap();
        assert_eq!(said, "OK");
        let link = server.link();
        connected.abort();
        assert!(connected.await.unwrap_err().is_cancelled());
        (Arc::new(server), listener, link)
    }

    /// Who is found behind the same address afterwards may be an older copy, of which nothing else tells (decision 11).
    #[tokio::test]
    async fn a_lost_connection_counts_whatever_was_asked() {
        let (server, _listener, before) = cut().await;
        let asked: RedisResult<(String,)> = server.question(&ping()).await;
        asked.unwrap_err();
        assert_ne!(server.link(), before);
    }

    #[tokio::test]
    async fn a_lost_connection_counts_when_only_the_return_is_waited_for() {
        let (server, listener, before) = cut().await;
        let _others = agree(&listener);
        server.away(&RoutingError::Away);
        let returned = async {
            while server.is_away() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let within = Duration::from_secs(60);
        tokio::time::timeout(within, returned).await.expect("away");
        assert_ne!(server.link(), before);
    }
}
