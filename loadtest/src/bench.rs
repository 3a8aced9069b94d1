//! `loadtest bench`: the whole series of docs/performance.md, each run on a fresh cluster of its own.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use anyhow::ensure;
use clap::Args;
use serde::Serialize;

use crate::{
    idle::{IdleArgs, IdleReport, idle},
    report::Report,
    run::{RunArgs, run},
};

/// Messages a second for 1,000 sessions in pairs.
const PAIRS: [f64; 4] = [500.0, 1_000.0, 2_000.0, 5_000.0];
/// Messages a second for 1,000 sessions in rooms of 100.
const ROOMS: [f64; 3] = [50.0, 200.0, 500.0];
/// The highest rate held is looked for in steps of this many messages a second.
const STEP: f64 = 1_000.0;
/// A rate is held while the 99th percentile stays below this, in ms, and nothing piles up.
const HELD_P99_MS: f64 = 100.0;

/// Runs all that docs/performance.md shows, and prints it as the tables there.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// Sessions of each run.
    #[arg(long, default_value_t = 1_000)]
    pub users: usize,
    /// The measured time of each run.
    #[arg(long, default_value_t = 20.0)]
    pub seconds: f64,
    /// Seconds at the same rate before it: until the broker's compiler has come to rest.
    #[arg(long, default_value_t = 20.0)]
    pub warm_up: f64,
    /// Connections whose memory is measured.
    #[arg(long, default_value_t = 2_000)]
    pub connections: usize,
    /// Write all results as JSON; `-` is stdout.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// All results.
#[derive(Debug, Clone, Serialize)]
pub struct BenchReport {
    /// In pairs, by rate; the last ones look for the highest rate held.
    pub pairs: Vec<Report>,
    /// In rooms of 100, by rate.
    pub rooms: Vec<Report>,
    /// The highest rate whose 99th percentile from due to received was below 100 ms.
    pub highest_held: f64,
    /// Memory by connection.
    pub idle: IdleReport,
}

/// Runs the series.
///
/// # Errors
/// When the arguments make no sense or a cluster can't be started.
pub async fn bench(args: &BenchArgs) -> anyhow::Result<BenchReport> {
    ensure!(args.users >= 100, "--users: a room of 100 needs as many");
    let mut pairs = Vec::new();
    for rate in PAIRS {
        pairs.push(run(&args.of(2, rate)).await?);
    }
    while let Some(rate) = next_rate(&tried(&pairs)) {
        pairs.push(run(&args.of(2, rate)).await?);
    }
    let mut rooms = Vec::new();
    for rate in ROOMS {
        rooms.push(run(&args.of(100, rate)).await?);
    }
    let idle = idle(&IdleArgs {
        connections: args.connections,
        body: 100_000,
        json: None,
    })
    .await?;
    Ok(BenchReport {
        highest_held: highest_held(&tried(&pairs)),
        pairs,
        rooms,
        idle,
    })
}

impl BenchArgs {
    fn of(&self, room_size: usize, rate: f64) -> RunArgs {
        RunArgs {
            users: self.users,
            room_size,
            rate,
            seconds: self.seconds,
            warm_up: self.warm_up,
            body: 256,
            was: Vec::new(),
            stack: true,
            json: None,
            drain: 60.0,
        }
    }
}

impl BenchReport {
    /// Whether no run lost, doubled, misordered or refused anything.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.pairs.iter().chain(&self.rooms).all(Report::is_good)
    }
}

/// Each rate, and whether it was held.
fn tried(reports: &[Report]) -> Vec<(f64, bool)> {
    let held = |report: &Report| report.is_good() && report.received_ms.p99 < HELD_P99_MS;
    reports
        .iter()
        .map(|report| (report.rate, held(report)))
        .collect()
}

fn highest_held(tried: &[(f64, bool)]) -> f64 {
    let held = tried.iter().filter(|(_, held)| *held);
    held.map(|(rate, _)| *rate).fold(0.0, f64::max)
}

/// One step above the highest rate held, unless as much or less was tried already and not held.
fn next_rate(tried: &[(f64, bool)]) -> Option<f64> {
    let highest = highest_held(tried);
    let next = highest + STEP;
    let known = |(rate, _): &(f64, bool)| *rate > highest && *rate <= next;
    (!tried.iter().any(known)).then_some(next)
}

/// Processes of one kind count together: `was-1` and `was-2` are `was`.
fn by_kind(report: &Report) -> BTreeMap<&str, f64> {
    let mut kinds = BTreeMap::new();
    for (name, usage) in &report.processes {
        let kind = name.split_once('-').map_or(name.as_str(), |(kind, _)| kind);
        *kinds.entry(kind).or_default() += usage.cpu_seconds;
    }
    kinds
}

fn latencies(out: &mut String, reports: &[Report]) -> std::fmt::Result {
    writeln!(
        out,
        "| messages/s | deliveries | lost, doubled, out of order | accepted p50 / p99 / p99.9 ms | received p50 / p90 / p99 / p99.9 / max ms |"
    )?;
    writeln!(out, "| ---: | ---: | :---: | ---: | ---: |")?;
    for report in reports {
        let (accepted, received) = (&report.accepted_ms, &report.received_ms);
        writeln!(
            out,
            "| {} | {} | {}, {}, {} | {:.1} / {:.1} / {:.1} | {:.1} / {:.1} / {:.1} / {:.1} / {:.1} |",
            report.rate,
            report.delivered,
            report.failings.lost,
            report.failings.duplicated,
            report.failings.out_of_order,
            accepted.p50,
            accepted.p99,
            accepted.p999,
            received.p50,
            received.p90,
            received.p99,
            received.p999,
            received.max,
        )?;
    }
    writeln!(out)
}

fn processor_time(out: &mut String, reports: &[Report]) -> std::fmt::Result {
    let Some(first) = reports.first() else {
        return Ok(());
    };
    let kinds: Vec<&str> = by_kind(first).into_keys().collect();
    writeln!(
        out,
        "| messages/s | µs a delivery, without loadtest | {} |",
        kinds.join(" | ")
    )?;
    writeln!(out, "| ---: | ---: |{}", " ---: |".repeat(kinds.len()))?;
    for report in reports {
        let (used, whole) = (by_kind(report), report.cpu_us_per_delivery.unwrap_or(0.0));
        write!(out, "| {} | {whole:.0} |", report.rate)?;
        #[expect(clippy::cast_precision_loss, reason = "a number of deliveries")]
        let deliveries = report.delivered.max(1) as f64;
        for kind in &kinds {
            let each = used.get(kind).unwrap_or(&0.0) * 1e6 / deliveries;
            write!(out, " {each:.1} |")?;
        }
        writeln!(out)?;
    }
    writeln!(out)
}

impl std::fmt::Display for BenchReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = String::new();
        writeln!(out, "In pairs:\n")?;
        latencies(&mut out, &self.pairs)?;
        writeln!(
            out,
            "Highest rate held with p99 below {HELD_P99_MS} ms: {} messages/s.\n",
            self.highest_held
        )?;
        processor_time(&mut out, &self.pairs)?;
        writeln!(out, "In rooms of 100:\n")?;
        latencies(&mut out, &self.rooms)?;
        processor_time(&mut out, &self.rooms)?;
        writeln!(out, "Memory:\n")?;
        write!(f, "{out}{}", self.idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn climbs_from_the_highest_that_was_held() {
        let mut tried = vec![
            (500.0, true),
            (1_000.0, true),
            (2_000.0, true),
            (5_000.0, false),
        ];
        assert_eq!(next_rate(&tried), Some(3_000.0));
        tried.push((3_000.0, true));
        assert_eq!(next_rate(&tried), Some(4_000.0));
        tried.push((4_000.0, true));
        assert_eq!(next_rate(&tried), None, "5,000 is known");
        assert_eq!(highest_held(&tried), 4_000.0);
        assert_eq!(next_rate(&[(500.0, false)]), None);
        assert_eq!(next_rate(&[(5_000.0, true)]), Some(6_000.0));
    }
}
