//! `loadtest storm`: a gateway dies with thousands of sessions, which all come back at once elsewhere.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::ensure;
use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;
use tokio::{
    task::block_in_place,
    time::{Instant, sleep},
};

use crate::{
    Away,
    breaking::{Moments, Spread, bar, follow, load, times},
    failings::Failings,
    own_cluster::{self, Demand},
    plan,
    processes::System,
    scenario::{Delivery, Scenario},
};

/// What the gateways count: catch-up queries, and the sessions that shared them.
const QUERIES: &str = "was_catch_up_sessions_count";
const SHARERS: &str = "was_catch_up_sessions_sum";
/// How long all may take to be back, and then the last messages to arrive.
const PATIENCE: Duration = Duration::from_secs(120);

/// Kills a gateway of a cluster of its own with all of its sessions, and counts.
#[derive(Debug, Clone, Args)]
pub struct StormArgs {
    /// Sessions on the gateway that dies.
    #[arg(long, default_value_t = 5_000)]
    pub sessions: usize,
    /// Sessions on the other two, whose latency is looked at.
    #[arg(long, default_value_t = 200)]
    pub others: usize,
    /// Messages a second, over all rooms; each has two members, both of the ones or of the others.
    #[arg(long, default_value_t = 500.0)]
    pub rate: f64,
    /// Of these, the part that goes to the rooms of the others.
    #[arg(long, default_value_t = 0.4)]
    pub others_part: f64,
    /// Seconds of load before the fault; the second half is what is usual.
    #[arg(long, default_value_t = 20.0)]
    pub before: f64,
    /// Seconds of load after all are connected again.
    #[arg(long, default_value_t = 10.0)]
    pub after: f64,
    /// Write the result as JSON; `-` is stdout.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl StormArgs {
    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            (2..=60_000).contains(&self.sessions),
            "--sessions: from 2 to 60,000, as the ports of one machine go"
        );
        ensure!(self.others >= 2, "--others: a message needs two");
        ensure!(
            self.rate > 0.0 && self.rate <= 1e6,
            "--rate: above 0, at most 1,000,000"
        );
        ensure!(
            (0.01..=0.99).contains(&self.others_part),
            "--others-part: from 0.01 to 0.99"
        );
        for (name, seconds) in [("--before", self.before), ("--after", self.after)] {
            ensure!(
                (0.0..=86_400.0).contains(&seconds),
                "{name}: from 0 to a day"
            );
        }
        Ok(())
    }
}

/// What was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StormReport {
    /// Sessions that lost their gateway.
    pub sessions: usize,
    /// Sessions on the other two.
    pub others: usize,
    /// Messages a second that were due.
    pub rate: f64,
    /// Messages that the servers promised.
    pub accepted: u64,
    /// Arrivals at recipients; the sender is one of them.
    pub delivered: u64,
    /// What must be 0.
    #[serde(flatten)]
    pub failings: Failings,
    /// How long each was away: from the loss of its connection to its next greeting.
    pub away_ms: Away,
    /// From the fault until every session was connected, in ms; none when one was not within two minutes.
    pub all_connected_ms: Option<f64>,
    /// From the fault until 99 of 100 of those had a message that was due after it, in ms; of those that were sent one.
    pub first_delivery_ms: Option<f64>,
    /// From the fault to the last late arrival, over these sessions, in ms; 0 for who had none.
    pub caught_up_ms: Spread,
    /// Catch-up queries of the gateways that are left, from the fault on. Gaps, settles and audits are among them.
    pub queries: f64,
    /// Sessions that shared such a query, on average.
    pub sessions_per_query: f64,
    /// Of the others, from due to arrival, before the fault, in ms.
    pub others_before_ms: Spread,
    /// The same of what was due from the fault until all were connected.
    pub others_meanwhile_ms: Spread,
    /// In words: the first of what went wrong.
    pub remarks: Vec<String>,
}

impl StormReport {
    /// Whether all came back and nothing was lost, doubled, out of order, refused or left open.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.failings.is_empty() && self.all_connected_ms.is_some()
    }
}

impl std::fmt::Display for StormReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{} sessions lost their gateway, {} had another one; {} messages a second",
            self.sessions, self.others, self.rate
        )?;
        writeln!(
            f,
            "accepted {}, delivered {}, {}",
            self.accepted, self.delivered, self.failings
        )?;
        match self.all_connected_ms {
            Some(ms) => writeln!(f, "all connected again after {ms:.0} ms")?,
            None => writeln!(f, "not all connected again")?,
        }
        writeln!(f, "{}", self.away_ms)?;
        let Spread { p50, p99, max } = self.caught_up_ms;
        writeln!(
            f,
            "caught up after p50 {p50:.0} ms, p99 {p99:.0} ms, max {max:.0} ms"
        )?;
        if let Some(first) = self.first_delivery_ms {
            writeln!(f, "first delivery p99 {first:.0} ms")?;
        }
        writeln!(
            f,
            "{:.0} catch-up queries, {:.1} sessions each",
            self.queries, self.sessions_per_query
        )?;
        let (before, meanwhile) = (self.others_before_ms, self.others_meanwhile_ms);
        writeln!(
            f,
            "the others: p50 {:.1} ms and p99 {:.1} ms before, p50 {:.1} ms, p99 {:.1} ms and max {:.1} ms meanwhile",
            before.p50, before.p99, meanwhile.p50, meanwhile.p99, meanwhile.max
        )?;
        for remark in &self.remarks {
            writeln!(f, "  {remark}")?;
        }
        Ok(())
    }
}

/// Runs it.
///
/// # Errors
/// When the arguments make no sense, or the system can't be started or reached. A bad verdict is no error: see
/// [`StormReport::is_good`].
pub async fn storm(args: &StormArgs) -> anyhow::Result<StormReport> {
    args.check()?;
    let demand = Demand {
        rate_per_user: args.rate,
        room_size: 3,
    };
    let system = own_cluster::start(&demand, Duration::from_secs_f64(args.before)).await?;
    let report = drive(args, &system).await;
    let good = report.as_ref().is_ok_and(StormReport::is_good);
    system.stop(good).await;
    report
}

async fn drive(args: &StormArgs, system: &System) -> anyhow::Result<StormReport> {
    let bar = bar();
    bar.set_prefix("storm");
    let all = args.sessions + args.others;
    let scenario = people(args, system, &bar).await?;
    let gauge = scenario.gauge();
    let others: Vec<usize> = (args.sessions..all).collect();

    let pairs = args.sessions / 2;
    let loads = [
        (args.rate * (1.0 - args.others_part), 0..pairs),
        (
            args.rate * args.others_part,
            pairs..scenario.rooms().count(),
        ),
    ]
    .map(|(rate, rooms)| load(&scenario, rate, rooms.collect()));
    let progress = follow(&bar, &scenario);
    let before = Duration::from_secs_f64(args.before);
    sleep(before / 2).await;
    gauge.trace.start();
    let steady_us = gauge.us(Instant::now());
    sleep(before / 2).await;

    let was = system.cluster.was(0);
    // One whose connection took too long has gone on to the next.
    let mut victims = scenario.sessions_on(was.name());
    victims.retain(|at| *at < args.sessions);
    ensure!(
        victims.len() * 10 >= args.sessions * 9,
        "only {} of {} sessions are on {}",
        victims.len(),
        args.sessions,
        was.name()
    );
    let (queries, sharers) = (
        counted(system, QUERIES).await?,
        counted(system, SHARERS).await?,
    );
    block_in_place(|| was.kill());
    let fault = Instant::now();
    let mut remarks = Vec::new();
    let all_connected_ms = match until_back(&scenario, &victims, was.name(), fault).await {
        Ok(took) => Some(took.as_secs_f64() * 1000.0),
        Err(error) => {
            remarks.push(format!("{error:#}"));
            None
        }
    };
    let connected_us = gauge.us(Instant::now());
    sleep(Duration::from_secs_f64(args.after)).await;
    for load in loads {
        load.end().await?;
    }
    let verdict = scenario.settle(PATIENCE).await;
    drop(progress);
    bar.finish_and_clear();

    let queries = counted(system, QUERIES).await? - queries;
    let sharers = counted(system, SHARERS).await? - sharers;
    let deliveries = gauge.trace.take();
    let fault_us = gauge.us(fault);
    let moments = Moments {
        steady_us,
        fault_us,
    };
    let times = times(&deliveries, moments, &victims);
    let failings = Failings::from(&verdict);
    remarks.extend(verdict.details.into_iter().take(8));
    if !failings.is_empty() {
        remarks.extend(gauge.remarks());
    }
    Ok(StormReport {
        sessions: victims.len(),
        others: args.others,
        rate: args.rate,
        accepted: verdict.accepted,
        delivered: verdict.delivered,
        failings,
        away_ms: scenario.away(),
        all_connected_ms,
        first_delivery_ms: times.first.map(|first| first.p99),
        caught_up_ms: times.caught_up,
        queries,
        sessions_per_query: if queries > 0.0 {
            sharers / queries
        } else {
            0.0
        },
        others_before_ms: took(&deliveries, &others, steady_us..fault_us),
        others_meanwhile_ms: took(&deliveries, &others, fault_us..connected_us),
        remarks,
    })
}

/// The ones in pairs on the first gateway, the others in pairs on the other two.
async fn people(
    args: &StormArgs,
    system: &System,
    bar: &ProgressBar,
) -> anyhow::Result<Arc<Scenario>> {
    let mut scenario = Scenario::new(system.cluster.urls());
    bar.set_message("signing up");
    scenario.users(args.sessions + args.others).await?;
    bar.set_message("making rooms");
    let mut rooms = plan::rooms(args.sessions, 2);
    let others = plan::rooms(args.others, 2).into_iter();
    rooms.extend(others.map(|room| room.iter().map(|at| at + args.sessions).collect()));
    scenario.rooms_of(rooms).await?;
    bar.set_message("connecting");
    let sessions = args.sessions;
    scenario
        .connect_by(|at| if at < sessions { 0 } else { 1 + at % 2 })
        .await?;
    Ok(Arc::new(scenario))
}

/// When the last of them had been greeted by another gateway, since `fault`.
async fn until_back(
    scenario: &Scenario,
    victims: &[usize],
    dead: &str,
    fault: Instant,
) -> anyhow::Result<Duration> {
    let is_back = |at: usize| scenario.session(at).was().is_some_and(|was| was != dead);
    for (number, victim) in victims.iter().enumerate() {
        while !is_back(*victim) {
            ensure!(
                fault.elapsed() < PATIENCE,
                "{number} of {} sessions are back after {PATIENCE:?}, at least",
                victims.len()
            );
            sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(fault.elapsed())
}

async fn counted(system: &System, name: &str) -> anyhow::Result<f64> {
    let mut sum = 0.0;
    for was in system.cluster.gateways().skip(1) {
        sum += was.counted(name).await?;
    }
    Ok(sum)
}

/// From due to arrival at these sessions, of what was due within `due_us`.
fn took(deliveries: &[Delivery], sessions: &[usize], due_us: std::ops::Range<u64>) -> Spread {
    let sessions: std::collections::HashSet<usize> = sessions.iter().copied().collect();
    let theirs = deliveries
        .iter()
        .filter(|one| sessions.contains(&one.session) && due_us.contains(&one.due_us));
    Spread::of(theirs.map(|one| one.at_us.saturating_sub(one.due_us)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::flags;

    fn check(line: &str) -> anyhow::Result<()> {
        flags::<StormArgs>(line).unwrap().check()
    }

    #[test]
    fn takes_the_flags() {
        assert!(check("storm --sessions 5000 --json -").is_ok());
        for wrong in ["--sessions 1", "--others 0", "--rate 0", "--others-part 1"] {
            assert!(check(&format!("storm {wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn who_is_not_back_is_not_good() {
        let mut report = StormReport::default();
        assert!(!report.is_good());
        report.all_connected_ms = Some(900.0);
        assert!(report.is_good());
        report.failings.lost = 1;
        assert!(!report.is_good());
    }

    #[test]
    fn only_the_others_and_only_what_was_due_meanwhile() {
        let one = |session, due_us, at_us| Delivery {
            session,
            due_us,
            at_us,
        };
        let all = [
            one(0, 1_500, 900_000),
            one(1, 500, 800_000),
            one(1, 1_500, 9_500),
            one(1, 2_500, 700_000),
        ];
        assert_eq!(took(&all, &[1], 1_000..2_000).max, 8.0);
    }
}
