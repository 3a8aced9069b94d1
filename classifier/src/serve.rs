//! Puts a classifier together and runs it until it is asked to stop.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use protocol::{Address, DeliveryHeaders};
use routing::{Redis, RedisSettings, RouteTable, RoutingError};
use service::admin::{AdminServer, BindError};
use service::clock::Clock;
use service::kafka::{Admin, Consumer, KafkaError, Producer, Topics};
use service::lifecycle::{Failure, Lifecycle};
use service::metrics::Metrics;
use service::readiness::{Condition, Readiness};
use service::trace::{TraceError, Traces, Who};
use service::{requests, statements};
use store::{Outcome, Store, StoreError, StoreSettings};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::adapters::{KafkaLanes, KafkaPublish, RedisRoutes, Servers};
use crate::behind;
use crate::metrics::ClassifierMetrics;
use crate::owner::Owner;
use crate::partitions::{PartitionsError, check_homes, check_lanes};
use crate::pipeline::backoff::Backoff;
use crate::pipeline::context::Context;
use crate::pipeline::worker::Worker;
use crate::pipeline::{route, settle};
use crate::ports::{Outgoing, Outside, Publish, Sink};
use crate::room::Rules;
use crate::settings::Settings;
use crate::signals::Signals;

/// A record that is not acknowledged for so long is sent again.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the brokers may take over the first question.
const DEADLINE: Duration = Duration::from_secs(30);
/// Batches that wait for their router, and for their acknowledgements: enough to hide a slow one,
/// little enough that the lanes feel it soon.
const COMMITTED: usize = 2;
const SENT: usize = 8;

/// Why it does not run, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The admin port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Kafka.
    #[error("Kafka can't be used")]
    Kafka(#[from] KafkaError),
    /// Postgres.
    #[error("Postgres can't be used")]
    Store(#[from] StoreError),
    /// Redis.
    #[error("Redis can't be used")]
    Routing(#[from] RoutingError),
    /// A topic has another number of partitions than the settings say.
    #[error(transparent)]
    Partitions(#[from] PartitionsError),
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

/// Postgres, with every statement measured.
pub(crate) async fn measured(
    settings: &StoreSettings,
    metrics: &Metrics,
) -> Result<Store, StoreError> {
    let (names, outcomes) = (Store::STATEMENTS, Outcome::ALL);
    let observer = statements::observer(metrics, names, outcomes, Outcome::as_str);
    let store = Store::connect_observed(settings, Arc::new(observer)).await?;
    let read = store.clone();
    statements::pool(metrics, move || read.pool_state().figures());
    Ok(store)
}

/// Redis, with every request measured.
pub(crate) fn measured_redis(
    settings: &RedisSettings,
    metrics: &Metrics,
) -> Result<Redis, RoutingError> {
    let observer = requests::observer(metrics, Redis::REQUESTS, Redis::OUTCOMES);
    Redis::connect_observed(settings, Arc::new(observer))
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(settings: Settings) -> Result<(), ServeError> {
    let lifecycle = Lifecycle::new(settings.drain);
    lifecycle.hear_signals()?;
    let admin_server = AdminServer::bind(&settings.admin).await?;
    let metrics = Metrics::new();
    let readiness = Readiness::new();
    let ready = readiness.condition("lanes");
    let kafka = readiness.condition("kafka");
    admin_server.start(&lifecycle, metrics.clone(), readiness);

    let who = Who {
        service: "switchboard-classifier",
        instance: &settings.name,
    };
    let traces = Traces::start(&settings.trace, who, &metrics)?;
    let topics = Topics::new(&settings.kafka.topic_prefix);
    let producer = Producer::start(&settings.kafka, &settings.name, MESSAGE_TIMEOUT)?;
    let consumer = Consumer::start(&settings.kafka, "classifier", &settings.name)?;
    producer.measure(&metrics);
    let admin = Admin::connect(&settings.kafka, DEADLINE)?;
    check_lanes(&admin, &topics, &settings).await?;
    check_homes(&admin, &topics, &settings).await?;
    let fatal = CancellationToken::new();
    let routes = RouteTable::new(&measured_redis(&settings.redis, &metrics)?);
    let context = Arc::new(Context::<Servers> {
        ledger: measured(&settings.store, &metrics).await?,
        source: KafkaLanes::new(consumer, admin, topics.clone()),
        publish: KafkaPublish::new(producer.clone(), topics.clone(), fatal.clone()),
        routes: RedisRoutes(routes.clone()),
        name: settings.name.clone(),
        lanes: settings.lanes,
        homes: settings.home_count(),
        rules: Rules {
            group_limit: settings.group_limit,
        },
        topics,
        tracer: traces.tracer(),
        metrics: ClassifierMetrics::new(&metrics),
        stop: lifecycle.drain().clone(),
    });
    lifecycle.fatal("producer", fatal, lifecycle.drain().clone());
    lifecycle.support("first record", first_record(Arc::clone(&context), kafka));
    // To the very end: the last events are routed while the process stops.
    lifecycle.support("hints of routes", async move {
        routes.hear_hints(std::future::pending()).await;
    });
    tracing::info!(name = settings.name, workers = settings.workers, "starts");
    start(
        &lifecycle,
        &context,
        settings.workers,
        Clock::system(),
        |owner| owner.ready_when(ready),
    );
    let ended = lifecycle.wait().await;
    if ended.is_ok() {
        producer.flush(Duration::from_secs(1)).await;
    }
    traces.finish().await;
    Ok(ended?)
}

/// An idempotent producer's first record takes up to a second: it shall not be somebody's message.
/// An answer to nobody on the broadcast partition, where every reader drops it.
async fn first_record(context: Arc<Context<Servers>>, ready: Condition) {
    let mut backoff = Backoff::default();
    let record = Outgoing {
        sink: Sink::Broadcast,
        key: None,
        headers: DeliveryHeaders::answer(Address::nil()).encode(),
        payload: None,
        trace: None,
    };
    let sent = async || context.publish.publish(&record)?.await;
    while let Err(error) = sent().await {
        ready.miss(error.to_string());
        if backoff.wait(&context.stop).await.is_err() {
            break;
        }
    }
    ready.meet();
    std::future::pending::<()>().await;
}

/// Starts every task of the pipeline: per worker one that appends, one that routes and one that
/// settles; one for signals; one that owns the lanes. On the drain the owner gives the lanes back and
/// ends; the others end when what feeds them has.
pub fn start<O: Outside>(
    lifecycle: &Lifecycle,
    context: &Arc<Context<O>>,
    workers: usize,
    clock: Clock,
    finish: impl FnOnce(Owner<O>) -> Owner<O>,
) {
    // Every lane may have a take and a drop waiting.
    let orders = usize::try_from(context.lanes).unwrap_or(1).max(1) * 2;
    let mut to_workers = Vec::with_capacity(workers);
    for number in 0..workers {
        let (to_worker, worker_orders) = mpsc::channel(orders);
        let (to_router, committed) = mpsc::channel(COMMITTED);
        let (to_settle, sent) = mpsc::channel(SENT);
        to_workers.push(to_worker);
        let worker = Worker::new(Arc::clone(context), worker_orders, to_router);
        lifecycle.spawn(format!("append-{number}"), worker.run());
        let router = route::run(Arc::clone(context), committed, to_settle);
        lifecycle.spawn(format!("route-{number}"), router);
        let settling = settle::run(Arc::clone(context), sent);
        lifecycle.spawn(format!("settle-{number}"), settling);
    }
    context.metrics.there_are(context.lanes, context.homes);
    lifecycle.support("lag", behind::follow(Arc::clone(context)));
    let (to_signals, lanes) = watch::channel(BTreeSet::new());
    let signals = Signals::new(Arc::clone(context), clock, lanes);
    lifecycle.spawn("signals", signals.run());
    let owner = finish(Owner::new(Arc::clone(context), to_workers, to_signals));
    lifecycle.spawn("owner", owner.run());
}
