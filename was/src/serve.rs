//! Puts a gateway together, runs it, and takes it apart again in order.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context as _;
use routing::{HomeKeeper, HomeTable, Markers, Redis, RouteTable};
use service::admin::{AdminServer, bind};
use service::clock::Clock;
use service::kafka::{Admin, Consumer, KafkaSettings, Producer, Topics};
use service::lifecycle::Lifecycle;
use service::metrics::Metrics;
use service::readiness::Readiness;
use service::trace::{Reads, Traces, Who};
use service::{requests, statements};
use store::{Outcome, Store, StoreError, StoreSettings};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Authority;
use crate::behind::Behind;
use crate::broadcast::{self, Broadcast};
use crate::catchup::catch_up;
use crate::commands::Commands;
use crate::drain::Stop;
use crate::gateway::{Gateway, HELLOS};
use crate::handover::{Handover, Tables};
use crate::healing::Healing;
use crate::metrics::Observed;
use crate::rate::RateLimits;
use crate::registry::{HomeTask, Registry, Serving};
use crate::routes::Routes;
use crate::settings::Settings;
use crate::socket::accept;
use crate::steward::{self, Stewards};

/// How long Kafka may take to say how many homes there are.
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// Postgres, with every statement measured.
async fn measured(settings: &StoreSettings, metrics: &Metrics) -> Result<Store, StoreError> {
    let (names, outcomes) = (Store::STATEMENTS, Outcome::ALL);
    let observer = statements::observer(metrics, names, outcomes, Outcome::as_str);
    let store = Store::connect_observed(settings, Arc::new(observer)).await?;
    let read = store.clone();
    statements::pool(metrics, move || read.pool_state().figures());
    Ok(store)
}

/// Runs until asked to stop.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let lifecycle = Lifecycle::new(settings.drain);
    lifecycle.hear_signals().context("signals can't be heard")?;
    let (metrics, readiness) = (Metrics::new(), Readiness::new());
    let running = readiness.condition("running");
    let home_served = readiness.condition("home");
    let broadcasts_read = readiness.condition("broadcast");
    let listener = bind("was.listen", settings.listen).await?;
    AdminServer::bind(&settings.admin)
        .await?
        .start(&lifecycle, metrics.clone(), readiness);

    let observed = Arc::new(Observed::new(&metrics));
    observed.homes.set(settings.home.homes.into());
    // Ends what must outlive the sockets: the home, its reader, catch-up.
    let (last, fatal) = (CancellationToken::new(), CancellationToken::new());
    // Early: the first record of a new producer is slow.
    let name = &settings.home.name;
    let who = Who {
        service: "switchboard-was",
        instance: name,
    };
    let traces = Traces::start(&settings.trace, who, &metrics)?;
    let producer = Producer::start(&settings.kafka, name, settings.command_timeout)?;
    let topics = settings.kafka.topics();
    let reads = Reads::new(&traces.tracer(), topics.receive());
    check_homes(&settings.kafka, &topics, settings.home.homes).await?;
    producer.measure(&metrics);
    let commands = Commands::new(
        producer.clone(),
        topics.clone(),
        Arc::clone(&observed),
        fatal.clone(),
    );
    let consumer = Consumer::start(&settings.kafka, "was", name)?;
    let store = measured(&settings.store, &metrics)
        .await
        .context("postgres.url")?;
    let asked = requests::observer(&metrics, Redis::REQUESTS, Redis::OUTCOMES);
    let redis = Redis::connect_observed(&settings.redis, Arc::new(asked))?;
    let registry = Arc::new(Registry::default());
    registry.measure(&metrics, settings.queue);
    let table = RouteTable::new(&redis).with_most(settings.sessions_per_user);
    let homes = HomeTable::new(&redis, settings.home.homes);
    let routes = Routes::new(
        table.clone(),
        homes.clone(),
        commands.clone(),
        Arc::clone(&registry),
        Arc::clone(&observed),
        settings.queue,
    );
    let markers = Markers::new(&redis);
    let (keeper, state) = HomeKeeper::new(&redis, settings.home.clone());
    let renewals = observed.home_renew_seconds.clone();
    let keeper = keeper.observed(move |since| renewals.observe(since.as_secs_f64()));
    let handover = Arc::new(Handover {
        routes: Tables {
            routes: table.clone(),
            homes,
        },
        publisher: producer.clone(),
        topics: topics.clone(),
        registry: Arc::clone(&registry),
        state: state.clone(),
        views: keeper.views(),
        observed: Arc::clone(&observed),
        fatal: fatal.clone(),
    });
    let stewards = Stewards {
        name: name.clone(),
        views: keeper.views(),
        consumer: Consumer::start_waiting(
            &settings.kafka,
            "was",
            &format!("{name}-steward"),
            steward::FETCH_WAIT,
        )?,
        topics: topics.clone(),
        handover: Arc::clone(&handover),
        observed: Arc::clone(&observed),
        stop: last.clone(),
    };
    let serving = Serving::new(state);
    let (asking, answering) = catch_up(
        store.clone(),
        Arc::clone(&observed),
        settings.queue,
        last.clone(),
    );
    let gateway = Arc::new(Gateway {
        authority: Authority::new(&settings.auth)?,
        rates: RateLimits::new(settings.rate),
        signal_rates: RateLimits::new(settings.rate),
        read_rates: RateLimits::new(settings.rate),
        hello_rates: RateLimits::new(HELLOS),
        rules: settings.rules,
        bound: settings.queue,
        registry: Arc::clone(&registry),
        serving: serving.clone(),
        commands,
        routes,
        catch_up: asking,
        store,
        store_turns: Semaphore::new((settings.store.pool_size / 2).max(1)),
        observed: Arc::clone(&observed),
        clock: Clock::system(),
        tracer: traces.tracer(),
        connections: Arc::new(Semaphore::new(settings.max_connections)),
        sockets: Arc::new(Semaphore::new(settings.max_sockets)),
        tasks: TaskTracker::new(),
        stopping: AtomicBool::new(false),
        outcome_timeout: settings.outcome_timeout,
        rooms_per_user: settings.rooms_per_user,
    });

    // The home is released when its reader is done with it.
    let done = CancellationToken::new();
    lifecycle.spawn("home keeper", keeper.run(done.clone().cancelled_owned()));
    let healing = Healing {
        serving: serving.clone(),
        markers,
        table,
        registry: Arc::clone(&registry),
        observed: Arc::clone(&observed),
        bound: settings.queue,
        lease: settings.home.lease,
        stop: last.clone(),
    };
    lifecycle.spawn("healing", healing.run());
    let behind = Behind {
        own: consumer.clone(),
        stewarded: stewards.consumer.clone(),
        topic: Arc::clone(topics.receive()),
    };
    lifecycle.support("lag", behind.follow(&metrics));
    lifecycle.spawn("stewards", stewards.run());
    let broadcast = Broadcast {
        consumer: Consumer::start_waiting(
            &settings.kafka,
            "was",
            &format!("{name}-broadcast"),
            broadcast::FETCH_WAIT,
        )?,
        topics: topics.clone(),
        registry: Arc::clone(&registry),
        observed: Arc::clone(&observed),
        bound: settings.queue,
        reads: reads.clone(),
        condition: broadcasts_read,
        stop: last.clone(),
    };
    let (begun, broadcasts) = oneshot::channel();
    lifecycle.spawn("broadcast", broadcast.run(begun));
    let home = HomeTask {
        serving,
        consumer,
        producer: producer.clone(),
        topics,
        registry,
        observed,
        bound: settings.queue,
        reads,
        handover,
        condition: home_served,
        stop: last.clone(),
    };
    lifecycle.spawn("home", async move {
        let _done = done.drop_guard();
        match broadcasts.await {
            Ok(()) => home.run().await,
            // Stopped before it could begin.
            Err(_) => Ok(()),
        }
    });
    lifecycle.spawn("catch-up", answering.run());
    lifecycle.fatal("producer", fatal, last.clone());
    let router = crate::rest::router(Arc::clone(&gateway));
    let address = listener.local_addr().context("was.listen")?;
    let accepting = accept(
        listener,
        router,
        Arc::clone(&gateway),
        lifecycle.drain().clone(),
    );
    lifecycle.spawn("listener", accepting);
    let stop = Stop {
        gateway,
        producer,
        running,
        last,
        within: settings.drain,
        spread: settings.drain_spread,
    };
    lifecycle.spawn("stop", stop.run(lifecycle.drain().clone()));
    tracing::info!(%address, "listening");
    let ended = lifecycle.wait().await;
    traces.finish().await;
    Ok(ended?)
}

/// Gateways that count homes differently would take each other's for nobody's.
async fn check_homes(kafka: &KafkaSettings, topics: &Topics, homes: i32) -> anyhow::Result<()> {
    let topic = topics.receive();
    let admin = Admin::connect(kafka, ASK_WITHIN)?;
    match admin.partitions(topic).await {
        Ok(partitions) => anyhow::ensure!(
            i32::try_from(partitions).ok() == homes.checked_add(1),
            "homes = {homes}, but {topic} has {partitions} partitions: homes and one for broadcasts"
        ),
        // Not ready until it can be read; Kafka may come back.
        Err(error) => tracing::warn!(%error, "the number of homes was not checked"),
    }
    Ok(())
}
