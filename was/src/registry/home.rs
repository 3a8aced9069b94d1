//! From a claimed home to a served one: its reader runs from a fixed offset, and a record of our
//! own has come back through it.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use protocol::{Address, DeliveryHeaders};
use routing::{Held, HomeState, since_boot};
use service::kafka::{Consumer, FeedError, KafkaError, Outgoing, Producer, Topics};
use service::readiness::Condition;
use service::trace::Reads;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::keeping::{CAPACITY, PACE};
use super::reader::Reader;
use super::{RETURN_WITHIN, Registry};
use crate::handover::Handover;
use crate::metrics::Observed;
use crate::socket::Bound;

/// How long to ask Kafka for offsets, and to wait for the first record.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two attempts to serve a home.
const AGAIN: Duration = Duration::from_millis(500);
/// How long sessions wait for a home when theirs was lost: the same one is claimed anew well within
/// that time, unless somebody else has it.
const HOMELESS: Duration = Duration::from_secs(1);

/// The home that sessions may enter on.
#[derive(Debug, Clone)]
pub struct Serving {
    state: watch::Receiver<HomeState>,
    ready: Arc<RwLock<Option<Held>>>,
}

impl Serving {
    /// Nothing is served yet.
    pub fn new(state: watch::Receiver<HomeState>) -> Self {
        Self {
            state,
            ready: Arc::default(),
        }
    }

    /// The home, while its lease stands and its reader runs: who could not renew for a lease takes
    /// no new sockets.
    pub fn held(&self) -> Option<Held> {
        let ready = (*self.ready.read().unwrap_or_else(PoisonError::into_inner))?;
        match &*self.state.borrow() {
            HomeState::Held(held)
                if held.incarnation == ready.incarnation && held.is_live(since_boot()) =>
            {
                Some(*held)
            }
            _ => None,
        }
    }

    fn set(&self, held: Option<Held>) {
        *self.ready.write().unwrap_or_else(PoisonError::into_inner) = held;
    }
}

/// The task that serves whatever home is held.
pub struct HomeTask {
    /// What the keeper tells.
    pub serving: Serving,
    /// Reads homes.
    pub consumer: Consumer,
    /// Sends the probe.
    pub producer: Producer,
    /// The topics' names.
    pub topics: Topics,
    /// Who is connected.
    pub registry: Arc<Registry>,
    /// Metrics.
    pub observed: Arc<Observed>,
    /// The mailboxes' bound.
    pub bound: Bound,
    /// Traces its records.
    pub reads: Reads,
    /// Hands on what no session here confirms.
    pub handover: Arc<Handover>,
    /// Met while a home is served.
    pub condition: Condition,
    /// Ends the task.
    pub stop: CancellationToken,
}

/// A home that is read.
struct Served {
    held: Held,
    stop: CancellationToken,
    reader: JoinHandle<Result<(), FeedError>>,
}

/// Why a home can't be read on.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The reader ended.
    #[error("the home can't be read")]
    Reader(#[from] FeedError),
    /// The reader panicked.
    #[error("the home's reader died")]
    Died(#[from] JoinError),
    /// The keeper has gone.
    #[error("nobody keeps the home any more")]
    Unkept,
}

impl HomeTask {
    /// Serves homes as they are won and lost.
    pub async fn run(self) -> Result<(), HomeError> {
        let mut state = self.serving.state.clone();
        let mut current: Option<Served> = None;
        // When sessions that have no home any more are sent away.
        let mut patience: Option<Instant> = None;
        loop {
            let now = state.borrow_and_update().clone();
            match now {
                // The sessions go on: it may be ours still, and without Redis nobody has a better one.
                HomeState::Unheard { reason } => {
                    patience = None;
                    self.condition.miss(reason);
                }
                HomeState::Waiting { reason } => {
                    patience.get_or_insert(Instant::now() + HOMELESS);
                    self.leave(current.take());
                    self.condition.miss(reason);
                }
                HomeState::Held(held) => {
                    patience = None;
                    let same = current.as_ref().is_some_and(|Served { held: had, .. }| {
                        (had.home, had.incarnation) == (held.home, held.incarnation)
                    });
                    if !same {
                        self.leave(current.take());
                        let served = tokio::select! {
                            served = self.serve(held) => served,
                            () = self.stop.cancelled() => break,
                        };
                        match served {
                            Ok(served) => {
                                self.observed.home.set(held.home.0.into());
                                current = Some(served);
                            }
                            Err(reason) => {
                                self.condition.miss(reason);
                                tokio::select! {
                                    () = tokio::time::sleep(AGAIN) => continue,
                                    () = self.stop.cancelled() => break,
                                }
                            }
                        }
                    }
                    self.serving.set(Some(held));
                    if !same {
                        self.rebuild(&held);
                    }
                    self.condition.meet();
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => break,
                ended = ended(&mut current) => {
                    current = None;
                    ended?;
                    if self.stop.is_cancelled() {
                        break;
                    }
                    return Err(FeedError::Removed.into());
                }
                changed = state.changed() => changed.map_err(|_| HomeError::Unkept)?,
                () = until(patience) => {
                    patience = None;
                    self.registry.send_away(RETURN_WITHIN, self.bound);
                }
            }
        }
        self.serving.set(None);
        self.observed.home.set(0);
        if let Some(served) = current {
            served.stop.cancel();
            // What the last sessions left, and the last commit. Whatever is not done by then the home's next reader does,
            // as the offset stays before it (I8).
            let _ = tokio::time::timeout(DEADLINE, served.reader).await;
        }
        Ok(())
    }

    /// The claim has ended. The sessions stay: they are told when the next one is served.
    fn leave(&self, served: Option<Served>) {
        if let Some(served) = served {
            self.serving.set(None);
            self.observed.home.set(0);
            served.stop.cancel();
        }
    }

    /// The routes of the sessions here lead to a claim that has ended, or went with it. They are
    /// written again now that the new one is read; then what came meanwhile is read and settled.
    fn rebuild(&self, held: &Held) {
        let told = self.registry.rebuild(held, self.bound);
        if told > 0 {
            self.observed.rebuilds.inc();
            tracing::info!(home = %held.home, sessions = told, "rebuilding");
        }
    }

    /// Starts the reader, then waits for a record of our own to come through it.
    async fn serve(&self, held: Held) -> Result<Served, String> {
        let told = |error: KafkaError| error.to_string();
        let topic = Arc::clone(self.topics.receive());
        let partition = held.home.0;
        let start = self.consumer.start_of(&topic, partition, DEADLINE);
        let start = start.await.map_err(told)?;
        // A reader of the same partition may still be about to end.
        self.consumer.remove(&topic, partition);
        let feed = self
            .consumer
            .add(&topic, partition, start.offset())
            .map_err(told)?;
        tracing::info!(home = %held.home, ?start, "home read");
        let stop = self.stop.child_token();
        let serving = self.serving.clone();
        let (consumer, committed) = (self.consumer.clone(), Arc::clone(&topic));
        let handover = Arc::clone(&self.handover);
        let reader = Reader {
            feed,
            commit: Box::new(move |next| {
                let (consumer, topic) = (consumer.clone(), Arc::clone(&committed));
                async move { consumer.commit(&topic, &[(partition, next)]).await }.boxed()
            }),
            hand_on: Box::new(move |orphans| {
                let handover = Arc::clone(&handover);
                // Dropped with the reader, and until then not given up.
                let never = CancellationToken::new();
                async move { handover.until_handed(&orphans, &never).await }.boxed()
            }),
            registry: Arc::clone(&self.registry),
            observed: Arc::clone(&self.observed),
            bound: self.bound,
            capacity: CAPACITY,
            pace: PACE,
            reads: self.reads.clone(),
            may_commit: Box::new(move || match &*serving.state.borrow() {
                HomeState::Held(now) => {
                    now.incarnation == held.incarnation && now.is_live(since_boot())
                }
                HomeState::Unheard { .. } | HomeState::Waiting { .. } => false,
            }),
            stop: stop.clone(),
        };
        let mut reader = tokio::spawn(reader.run());
        let guard = stop.clone().drop_guard();
        tokio::select! {
            probed = self.probe(&topic, partition) => probed?,
            ended = &mut reader => return Err(format!("the home can't be read: {ended:?}")),
        }
        guard.disarm();
        Ok(Served { held, stop, reader })
    }

    async fn probe(&self, topic: &Arc<str>, partition: i32) -> Result<(), String> {
        let address = Address::new_v4();
        let mut waiter = self.registry.wait_at(address);
        let record = Outgoing {
            partition: Some(partition),
            headers: DeliveryHeaders::answer(address).encode(),
            payload: Some(Bytes::from_static(b"{\"type\":\"probe\"}")),
            ..Outgoing::to(topic)
        };
        let sent = self
            .producer
            .send(&record)
            .map_err(|error| error.to_string())?;
        sent.await
            .map_err(|error| format!("a first record was not taken: {error}"))?;
        tokio::time::timeout(DEADLINE, waiter.answer())
            .await
            .map_err(|_| "a record of our own did not come through the home".to_owned())?
            .map(|_| ())
            .ok_or_else(|| "the registry has gone".to_owned())
    }
}

/// Waits for the reader to end, if there is one.
async fn ended(served: &mut Option<Served>) -> Result<(), HomeError> {
    match served {
        Some(served) => Ok((&mut served.reader).await??),
        None => std::future::pending().await,
    }
}

/// Waits until a time, if there is one.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
