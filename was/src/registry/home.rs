//! From a claimed home to a served one: its reader runs from a fixed offset, and a record of our
//! own has come back through it.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use protocol::{Address, CloseCode, DeliveryHeaders, UserId};
use routing::{Held, HomeState, since_boot};
use service::kafka::{Consumer, KafkaError, Outgoing, Producer, Topics, start_offset};
use service::readiness::Condition;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::Registry;
use super::reader::Reader;
use crate::metrics::Observed;
use crate::socket::{Bound, Item};

/// How long to ask Kafka for offsets, and to wait for the first record.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two attempts to serve a home.
const AGAIN: Duration = Duration::from_millis(500);

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
    /// Where users without a session here are named.
    pub dead: mpsc::Sender<UserId>,
    /// Met while a home is served.
    pub condition: Condition,
    /// Ends the task.
    pub stop: CancellationToken,
}

/// Why a home can't be read on.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The reader ended.
    #[error("the home can't be read")]
    Reader(#[from] service::kafka::FeedError),
    /// The keeper has gone.
    #[error("nobody keeps the home any more")]
    Unkept,
}

impl HomeTask {
    /// Serves homes as they are won and lost.
    pub async fn run(self) -> Result<(), HomeError> {
        let mut state = self.serving.state.clone();
        let mut current: Option<(Held, CancellationToken)> = None;
        let (ended, mut reader_ended) = mpsc::channel(1);
        loop {
            let now = state.borrow_and_update().clone();
            match now {
                HomeState::Waiting { reason } => self.condition.miss(reason),
                HomeState::Held(held) => {
                    let same = current.as_ref().is_some_and(|(had, _)| {
                        (had.home, had.incarnation) == (held.home, held.incarnation)
                    });
                    if !same {
                        if let Some((_, stop)) = current.take() {
                            // Their routes name a claim that has ended: they come back, to catch up
                            // and to write new ones.
                            self.serving.set(None);
                            stop.cancel();
                            self.registry
                                .tell_all(|| Item::End(CloseCode::TryAgainLater), self.bound);
                        }
                        match self.serve(held, ended.clone()).await {
                            Ok(stop) => current = Some((held, stop)),
                            Err(reason) => {
                                self.condition.miss(reason);
                                tokio::select! {
                                    () = tokio::time::sleep(AGAIN) => continue,
                                    () = self.stop.cancelled() => return Ok(()),
                                }
                            }
                        }
                    }
                    self.serving.set(Some(held));
                    self.condition.meet();
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => break,
                Some(result) = reader_ended.recv() => {
                    let result: Result<(), service::kafka::FeedError> = result;
                    result?;
                }
                changed = state.changed() => changed.map_err(|_| HomeError::Unkept)?,
            }
        }
        self.serving.set(None);
        if let Some((_, stop)) = current {
            stop.cancel();
            // The last commit.
            let _ = tokio::time::timeout(DEADLINE, reader_ended.recv()).await;
        }
        Ok(())
    }

    /// Starts the reader, then waits for a record of our own to come through it.
    async fn serve(
        &self,
        held: Held,
        ended: mpsc::Sender<Result<(), service::kafka::FeedError>>,
    ) -> Result<CancellationToken, String> {
        let told = |error: KafkaError| error.to_string();
        let topic = Arc::clone(self.topics.receive());
        let partition = held.home.0;
        let committed = self
            .consumer
            .committed(&topic, partition, DEADLINE)
            .await
            .map_err(told)?;
        let marks = self
            .consumer
            .watermarks(&topic, partition, DEADLINE)
            .await
            .map_err(told)?;
        let start = start_offset(committed, marks);
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
        let reader = Reader {
            feed,
            commit: Box::new(move |next| {
                let (consumer, topic) = (consumer.clone(), Arc::clone(&committed));
                async move { consumer.commit(&topic, &[(partition, next)]).await }.boxed()
            }),
            registry: Arc::clone(&self.registry),
            observed: Arc::clone(&self.observed),
            bound: self.bound,
            dead: self.dead.clone(),
            may_commit: Box::new(move || match &*serving.state.borrow() {
                HomeState::Held(now) => {
                    now.incarnation == held.incarnation && now.is_live(since_boot())
                }
                HomeState::Waiting { .. } => false,
            }),
            stop: stop.clone(),
        };
        tokio::spawn(async move {
            let result = reader.run().await;
            let _ = ended.send(result).await;
        });
        let guard = stop.clone().drop_guard();
        self.probe(&topic, partition).await?;
        guard.disarm();
        Ok(stop)
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
