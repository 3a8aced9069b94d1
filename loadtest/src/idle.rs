//! `loadtest idle`: what a connection costs its gateway in memory, idle, and after a large message each way.

use std::{path::PathBuf, time::Duration};

use anyhow::ensure;
use clap::Args;
use serde::Serialize;
use tokio::time::sleep;

use crate::{
    own_cluster::{self, Demand},
    plan::{self, Phase},
    processes::{System, mib},
    scenario::{Paced, Scenario},
};

/// Large messages a second: what is measured is what they leave behind, not how fast they go.
const RATE: f64 = 50.0;
/// After each step the gateways' memory comes to rest.
const REST: Duration = Duration::from_secs(3);

/// Measures the memory of connections, with an own cluster.
#[derive(Debug, Clone, Args)]
pub struct IdleArgs {
    /// Connections, spread over 3 gateways.
    #[arg(long, default_value_t = 2_000)]
    pub connections: usize,
    /// Bytes in the large message.
    #[arg(long, default_value_t = 100_000)]
    pub body: usize,
    /// Write the result as JSON; `-` is stdout.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// The memory of the gateways together.
#[derive(Debug, Clone, Serialize)]
pub struct IdleReport {
    /// Connections.
    pub connections: usize,
    /// Before the first connection, rooms and users made, in MiB.
    pub before_mib: f64,
    /// With all of them, in MiB.
    pub idle_mib: f64,
    /// After each sent a large message, and received its own and another's, in MiB.
    pub used_mib: f64,
    /// Bytes of the large message.
    pub body: usize,
    /// KiB for each connection, idle.
    pub idle_kib_per_connection: f64,
    /// KiB for each connection, after the large messages.
    pub used_kib_per_connection: f64,
}

impl std::fmt::Display for IdleReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            connections,
            before_mib,
            idle_mib,
            used_mib,
            body,
            ..
        } = self;
        writeln!(f, "{connections} connections on 3 gateways")?;
        writeln!(
            f,
            "memory of the gateways: {before_mib:.1} MiB before, {idle_mib:.1} idle, {used_mib:.1} after {body} bytes each way"
        )?;
        let (idle, used) = (self.idle_kib_per_connection, self.used_kib_per_connection);
        writeln!(
            f,
            "a connection: {idle:.1} KiB idle, {used:.1} KiB after {body} bytes each way"
        )
    }
}

/// Runs it.
///
/// # Errors
/// When the cluster can't be started, or a message is lost.
pub async fn idle(args: &IdleArgs) -> anyhow::Result<IdleReport> {
    ensure!(args.connections >= 2, "--connections: at least 2");
    ensure!(
        (1..=protocol::MAX_BODY_CHARS).contains(&args.body),
        "--body: from 1 to {}",
        protocol::MAX_BODY_CHARS
    );
    let demand = Demand {
        rate_per_user: 1.0,
        room_size: 3,
    };
    let system = own_cluster::start(&demand, Duration::ZERO).await?;
    let report = measure(args, &system).await;
    system.stop(report.is_ok()).await;
    report
}

async fn measure(args: &IdleArgs, system: &System) -> anyhow::Result<IdleReport> {
    let mut scenario = Scenario::new(system.cluster.urls());
    scenario.users(args.connections).await?;
    scenario.rooms_of(plan::rooms(args.connections, 2)).await?;
    sleep(REST).await;
    let before = system.was_rss();
    scenario.connect_all().await?;
    sleep(REST).await;
    let idle = system.was_rss();

    #[expect(clippy::cast_precision_loss, reason = "a number of connections")]
    let count = args.connections as f64;
    // In each room its members take turns: two messages a room, one from each.
    let lasting = Duration::from_secs_f64(count / RATE);
    let paced = Paced {
        rate: RATE,
        lasting,
        bytes: args.body,
        phase: Phase::Measured,
        rooms: Vec::new(),
    };
    scenario.send(&paced).await;
    let verdict = scenario.settle(Duration::from_secs(60)).await;
    ensure!(
        verdict.is_good(),
        "the large messages did not all arrive: {}",
        scenario.explain(&verdict)
    );
    sleep(REST).await;
    let used = system.was_rss();
    let each = |now: u64| mib(now.saturating_sub(before)) * 1024.0 / count;
    Ok(IdleReport {
        connections: args.connections,
        before_mib: mib(before),
        idle_mib: mib(idle),
        used_mib: mib(used),
        body: args.body,
        idle_kib_per_connection: each(idle),
        used_kib_per_connection: each(used),
    })
}
