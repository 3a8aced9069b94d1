//! `classifier push`: tells people who are not connected, through a webhook, FCM, or both.
//!
//! | module | what |
//! | --- | --- |
//! | `owner` | which partitions of `chat-push` this process reads, shared with others |
//! | `tenure` | one of them, from its claim to its release; commits what is done |
//! | `reader` | waits, looks the routes up once more, hands on |
//! | `connected` | reminds the homes of those who have come back; pure |
//! | `asking` | a question to Postgres, until it is answered or can't be |
//! | `notices` | what a push says, at the time when it is told |
//! | `queues` | what waits for each user, and whose turn it is; pure |
//! | `sender` | one delivery of a user at a time, given up after a while |
//! | `slot` | a place among those who are told at once; free while nobody is asked |
//! | `tries`, `patience` | tries, and the pauses between them |
//! | `webhook` | one request: content, signature, what the answer means |
//! | `fcm` | a user's devices |
//! | `http` | the client that both ask with |
//! | `oldest` | how long the oldest push has waited |
//! | `done` | how far a partition is done; committed are only offsets behind that |
//!
//! A push may come twice, never not at all: what was under way when a process ended is told again by
//! whoever reads its partition next.

mod asking;
mod connected;
mod done;
mod fcm;
mod http;
mod metrics;
mod notices;
mod oldest;
mod owner;
mod patience;
mod queues;
mod reader;
mod sender;
mod settings;
mod shared;
mod slot;
mod tenure;
mod told;
mod tries;
mod verdict;
mod webhook;

pub use fcm::{CredentialsError, FcmError};
pub use metrics::PushMetrics;
pub use settings::{
    FCM_CREDENTIALS, FcmSettings, KEYS, PushSettings, WEBHOOK_URL, WebhookSettings,
};
pub use webhook::{SIGNATURE, TIMESTAMP, signature};

use std::sync::Arc;
use std::time::Duration;

use routing::{RouteTable, RoutingError};
use service::admin::{AdminServer, BindError};
use service::clock::Clock;
use service::kafka::{Admin, Consumer, KafkaError, Producer};
use service::lifecycle::{Failure, Lifecycle};
use service::metrics::Metrics;
use service::readiness::{Condition, Readiness};
use service::trace::{Reads, TraceError, Tracer, Traces, Who};
use store::{Store, StoreError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::adapters::{FreshRoutes, KafkaPublish};
use crate::serve::{measured, measured_redis};
use crate::settings::Settings;
use fcm::Fcm;
use oldest::Oldest;
use owner::Owner;
use sender::Sender;
use shared::Shared;
use tenure::Ground;
use webhook::Webhook;

/// A record that is not acknowledged for so long is sent again.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the brokers may take over the first questions.
const DEADLINE: Duration = Duration::from_secs(30);
/// Pushes between the readers and the sender, beside those that `push.queue` counts.
const HANDED_ON: usize = 64;

/// Why it does not run, or ended.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// There is nobody to tell.
    #[error("neither {WEBHOOK_URL} nor {FCM_CREDENTIALS} is given")]
    Nobody,
    /// The admin port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// FCM.
    #[error("FCM can't be used")]
    Fcm(#[from] FcmError),
    /// Kafka.
    #[error("Kafka can't be used")]
    Kafka(#[from] KafkaError),
    /// Redis.
    #[error("Redis can't be used")]
    Routing(#[from] RoutingError),
    /// Postgres.
    #[error("Postgres can't be used")]
    Store(#[from] StoreError),
    /// The HTTP client.
    #[error("requests can't be made")]
    Client(#[from] reqwest::Error),
    /// The collector of traces.
    #[error("traces can't be told")]
    Traces(#[from] TraceError),
    /// Signals can't be heard.
    #[error("signals can't be heard")]
    Signals(#[from] std::io::Error),
    /// A task failed, or the stop took too long.
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// What a worker is given beside its settings.
pub struct Means {
    /// Postgres.
    pub store: Store,
    /// What it counts.
    pub metrics: PushMetrics,
    /// Traces what is sampled where it entered.
    pub tracer: Tracer,
    /// The time.
    pub clock: Clock,
    /// Met while it can own partitions.
    pub ready: Option<Condition>,
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(settings: Settings) -> Result<(), PushError> {
    let lifecycle = Lifecycle::new(settings.drain);
    lifecycle.hear_signals()?;
    let admin = AdminServer::bind(&settings.admin).await?;
    let metrics = Metrics::new();
    let readiness = Readiness::new();
    let ready = readiness.condition("partitions");
    admin.start(&lifecycle, metrics.clone(), readiness);
    let who = Who {
        service: "switchboard-push",
        instance: &settings.name,
    };
    let traces = Traces::start(&settings.trace, who, &metrics)?;
    let means = Means {
        tracer: traces.tracer(),
        store: measured(&settings.store, &metrics).await?,
        metrics: PushMetrics::new(&metrics),
        clock: Clock::system(),
        ready: Some(ready),
    };
    start(&lifecycle, &settings, means).await?;
    tracing::info!(wait = ?settings.push.wait, name = settings.name, "pushes");
    let ended = lifecycle.wait().await;
    traces.finish().await;
    Ok(ended?)
}

/// Starts every task: one that owns and reads partitions, and one that tells.
pub async fn start(
    lifecycle: &Lifecycle,
    settings: &Settings,
    means: Means,
) -> Result<(), PushError> {
    let push = &settings.push;
    if push.webhook.is_none() && push.fcm.is_none() {
        return Err(PushError::Nobody);
    }
    let Means {
        store,
        metrics,
        tracer,
        clock,
        ready,
    } = means;
    let webhook = push.webhook.as_ref();
    let webhook = webhook.map(|to| Webhook::new(to, push.timeout, clock.clone()));
    let fcm = push.fcm.as_ref();
    let fcm = fcm.map(|to| Fcm::new(to, push.timeout, store.clone(), clock.clone()));
    let (webhook, fcm) = (webhook.transpose()?, fcm.transpose()?);

    let topics = settings.kafka.topics();
    let routes = FreshRoutes(RouteTable::new(&measured_redis(
        &settings.redis,
        &metrics.all,
    )?));
    let producer = Producer::start(&settings.kafka, "push", MESSAGE_TIMEOUT)?;
    producer.measure(&metrics.all);
    metrics.homes.set(settings.home_count().into());
    let oldest = Oldest::new(&metrics.all, clock.clone());
    let admin = Admin::connect(&settings.kafka, DEADLINE)?;
    let consumer = Consumer::start(&settings.kafka, "push", "push")?;
    let count = i32::try_from(admin.partitions(topics.push()).await?).unwrap_or(i32::MAX);
    store.ensure_push_partitions(count).await?;

    let (fatal, stop) = (CancellationToken::new(), lifecycle.drain().clone());
    let shared = Arc::new(Shared {
        publish: KafkaPublish::new(producer, topics.clone(), fatal.clone()),
        reads: Reads::new(&tracer, topics.push()),
        topics,
        metrics,
    });
    let (to, from) = mpsc::channel(HANDED_ON);
    let ground = Ground {
        name: settings.name.clone(),
        store: store.clone(),
        consumer,
        routes,
        homes: settings.home_count(),
        shared: Arc::clone(&shared),
        clock,
        oldest,
        wait: push.wait,
    };
    let owner = Owner::new(ground, count, to, ready);
    lifecycle.spawn("push-owner", owner.run(stop.clone()));
    let sender = Sender {
        store,
        webhook,
        fcm,
        shared,
        queue: push.queue,
        concurrency: push.concurrency,
        batch: push.batch,
        give_up: push.give_up,
        chance: rand::random,
    };
    lifecycle.spawn("push-sender", sender.run(from));
    lifecycle.fatal("push-producer", fatal, stop);
    Ok(())
}
