//! `classifier push`: tells people who are not connected, through a webhook.
//!
//! | module | what |
//! | --- | --- |
//! | `reader` | one partition of `chat-push`: waits, looks the routes up once more, hands on |
//! | `queues` | what waits for each user, and whose turn it is; pure |
//! | `sender` | one delivery of a user at a time, tried again, given up |
//! | `webhook` | one request: content, signature, what the answer means |
//! | `patience` | pauses between tries; pure |
//! | `done` | how far a partition is done; committed are only offsets behind that |
//!
//! A push may come twice, never not at all: what was under way when a process ended is told again by
//! the next. All partitions are one process's: a second one would tell everything a second time.

mod done;
mod metrics;
mod patience;
mod queues;
mod reader;
mod sender;
mod settings;
mod webhook;

pub use metrics::PushMetrics;
pub use settings::{KEYS, PushSettings, WEBHOOK_SECRET, WEBHOOK_URL};
pub use webhook::{SIGNATURE, TIMESTAMP, signature};

use std::sync::Arc;
use std::time::Duration;

use protocol::{DlqReason, Lane, PushRecord};
use routing::{Redis, RouteTable, RoutingError};
use service::admin::{AdminServer, BindError};
use service::clock::Clock;
use service::kafka::{Admin, Consumer, Incoming, KafkaError, Producer, Topics, start_offset};
use service::lifecycle::{Failure, Lifecycle};
use service::metrics::Metrics;
use service::readiness::Readiness;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::adapters::{KafkaPublish, RedisRoutes};
use crate::pipeline::backoff::{Backoff, Stopped};
use crate::pipeline::burial::burial;
use crate::ports::{self, Publish, PublishError};
use crate::settings::Settings;
use done::Partition;
use reader::Reader;
use sender::Sender;
use webhook::Webhook;

/// A letter that is not acknowledged for so long is sent again.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the brokers may take over the first questions.
const DEADLINE: Duration = Duration::from_secs(30);
/// Between two commits of what is done.
const COMMITS: Duration = Duration::from_secs(1);
/// Pushes between the readers and the sender, beside those that `push.queue` counts.
const HANDED_ON: usize = 64;

/// Why it does not run, or ended.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// There is no webhook.
    #[error("{WEBHOOK_URL} and {WEBHOOK_SECRET} must be given")]
    NoWebhook,
    /// The admin port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Kafka.
    #[error("Kafka can't be used")]
    Kafka(#[from] KafkaError),
    /// Redis.
    #[error("Redis can't be used")]
    Routing(#[from] RoutingError),
    /// The HTTP client.
    #[error("requests can't be made")]
    Client(#[from] reqwest::Error),
    /// Signals can't be heard.
    #[error("signals can't be heard")]
    Signals(#[from] std::io::Error),
    /// A task failed, or the stop took too long.
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// The producer can't go on.
#[derive(Debug, thiserror::Error)]
#[error("the producer failed for good")]
struct ProducerFailed;

/// A push on its way.
struct Item {
    record: PushRecord,
    /// As it came, for `chat-dlq`.
    raw: Incoming,
    partition: Arc<Partition>,
}

/// What readers and the sender share.
struct Shared<P> {
    publish: P,
    topics: Topics,
    metrics: PushMetrics,
    stop: CancellationToken,
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(settings: Settings) -> Result<(), PushError> {
    let push = settings.push.clone().ok_or(PushError::NoWebhook)?;
    let lifecycle = Lifecycle::new(settings.drain);
    lifecycle.hear_signals()?;
    let admin = AdminServer::bind(&settings.admin).await?;
    let metrics = Metrics::new();
    let readiness = Readiness::new();
    let ready = readiness.condition("partitions");
    admin.start(&lifecycle, metrics.clone(), readiness);
    let metrics = PushMetrics::new(&metrics);
    start(&lifecycle, &settings, &push, metrics, Clock::system()).await?;
    ready.meet();
    tracing::info!(wait = ?push.wait, "pushes");
    Ok(lifecycle.wait().await?)
}

/// Starts every task: one that reads per partition, one that tells, one that commits.
pub async fn start(
    lifecycle: &Lifecycle,
    settings: &Settings,
    push: &PushSettings,
    metrics: PushMetrics,
    clock: Clock,
) -> Result<(), PushError> {
    let topics = settings.kafka.topics();
    let topic = topics.push();
    let webhook = Webhook::new(push, clock.clone())?;
    let routes = RedisRoutes(RouteTable::new(&Redis::connect(&settings.redis)?));
    let producer = Producer::start(&settings.kafka, "push", MESSAGE_TIMEOUT)?;
    let admin = Admin::connect(&settings.kafka, DEADLINE)?;
    let consumer = Consumer::start(&settings.kafka, "push", "push")?;
    let count = i32::try_from(admin.partitions(topic).await?).unwrap_or(i32::MAX);

    let (fatal, stop) = (CancellationToken::new(), lifecycle.drain().clone());
    let shared = Arc::new(Shared {
        publish: KafkaPublish::new(producer, topics.clone(), fatal.clone()),
        topics: topics.clone(),
        metrics,
        stop: stop.clone(),
    });
    let (to, from) = mpsc::channel(HANDED_ON);
    let mut partitions = Vec::new();
    for number in 0..count {
        let committed = consumer.committed(topic, number, DEADLINE).await?;
        let marks = consumer.watermarks(topic, number, DEADLINE).await?;
        let start = start_offset(committed, marks).offset();
        let partition = Arc::new(Partition::new(number, start));
        partitions.push(Arc::clone(&partition));
        let reader = Reader {
            feed: consumer.add(topic, number, start)?,
            partition,
            routes: routes.clone(),
            homes: i32::try_from(settings.homes).unwrap_or(i32::MAX),
            shared: Arc::clone(&shared),
            clock: clock.clone(),
            wait: push.wait,
            to: to.clone(),
            stop: stop.clone(),
        };
        lifecycle.spawn(format!("push-{number}"), reader.run());
    }
    let sender = Sender {
        webhook,
        shared: Arc::clone(&shared),
        queue: push.queue,
        concurrency: push.concurrency,
        batch: push.batch,
        give_up: push.give_up,
        chance: rand::random,
    };
    let told = CancellationToken::new();
    let all_told = told.clone().drop_guard();
    lifecycle.spawn("push-sender", async move {
        sender.run(from).await;
        drop(all_told);
    });
    let committing = commit(consumer, Arc::clone(topic), partitions, shared, told);
    lifecycle.spawn("push-offsets", committing);
    lifecycle.spawn("push-producer", async move {
        tokio::select! {
            () = fatal.cancelled() => Err(ProducerFailed),
            () = stop.cancelled() => Ok(()),
        }
    });
    Ok(())
}

/// Commits what is done, each second and once more when everything has been told.
async fn commit<P>(
    consumer: Consumer,
    topic: Arc<str>,
    partitions: Vec<Arc<Partition>>,
    shared: Arc<Shared<P>>,
    told: CancellationToken,
) {
    let mut committed: Vec<i64> = partitions.iter().map(|one| one.next()).collect();
    let mut ticks = tokio::time::interval(COMMITS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let last = tokio::select! {
            _ = ticks.tick() => false,
            () = told.cancelled() => true,
        };
        let now: Vec<i64> = partitions.iter().map(|one| one.next()).collect();
        let numbers = partitions.iter().map(|one| one.number);
        let moved = numbers.zip(now.iter().copied()).zip(&committed);
        let moved = moved.filter(|((_, next), before)| next != *before);
        let moved: Vec<(i32, i64)> = moved.map(|(one, _)| one).collect();
        match consumer.commit(&topic, &moved).await {
            Ok(()) => committed = now,
            Err(error) => {
                shared.metrics.commit_failures.inc();
                tracing::warn!(%error, "offsets of pushes were not committed");
            }
        }
        if last {
            return;
        }
    }
}

impl<P: Publish> Shared<P> {
    /// Puts a record into `chat-dlq`, and returns when it is there.
    async fn bury(&self, partition: i32, raw: &Incoming, reason: DlqReason) -> Result<(), Stopped> {
        let raw = ports::Incoming {
            offset: raw.offset,
            key: raw.key.clone(),
            payload: raw.payload.clone(),
        };
        let letter = burial(self.topics.push(), Lane(partition), &raw, reason);
        let mut backoff = Backoff::default();
        loop {
            let sent = match self.publish.publish(&letter) {
                Ok(ack) => ack.await,
                Err(error) => Err(error),
            };
            match sent {
                Ok(()) => return Ok(()),
                Err(PublishError::Refused(why)) => {
                    // It can't be told and it can't be kept; the next one can.
                    tracing::error!(why, partition, offset = raw.offset, "a push is lost");
                    return Ok(());
                }
                Err(error) => {
                    self.metrics.publish_failures.inc();
                    tracing::warn!(%error, "a letter was not acknowledged");
                    backoff.wait(&self.stop).await?;
                }
            }
        }
    }
}
