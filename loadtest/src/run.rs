//! `loadtest run`: users in rooms over all gateways, an open loop at a rate, percentiles and a verdict.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::ensure;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, interval};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    LOCAL,
    failings::Failings,
    own_cluster::{self, Demand},
    plan::{self, Phase},
    processes::{self, System},
    report::Report,
    scenario::{Gauge, Paced, Scenario},
};

/// Sends at a given rate whatever comes back (open loop), and judges what arrived.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Sessions, spread over the gateways.
    #[arg(long, default_value_t = 100)]
    pub users: usize,
    /// Members in a room; each user is in one room.
    #[arg(long, default_value_t = 2)]
    pub room_size: usize,
    /// Messages a second, over all users.
    #[arg(long, default_value_t = 100.0)]
    pub rate: f64,
    /// The measured time; the warm-up comes before it.
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// Seconds at the same rate before the measured time.
    #[arg(long, default_value_t = 3.0)]
    pub warm_up: f64,
    /// Bytes in a body.
    #[arg(long, default_value_t = 256)]
    pub body: usize,
    /// Gateways.
    #[arg(long, value_name = "URL,URL", value_delimiter = ',', default_value = LOCAL)]
    pub was: Vec<String>,
    /// Bring up an own cluster for this run: servers, 3 gateways, 2 classifiers.
    #[arg(long, conflicts_with = "was")]
    pub stack: bool,
    /// Write the result as JSON; `-` is stdout.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// How long to wait for what is still on its way at the end.
    #[arg(long, default_value_t = 30.0)]
    pub drain: f64,
}

impl RunArgs {
    fn check(&self) -> anyhow::Result<()> {
        ensure!(self.users >= 2, "--users: a message needs two");
        ensure!(
            self.room_size >= 2 && self.room_size <= self.users,
            "--room-size: from 2 to the number of users"
        );
        ensure!(
            self.rate > 0.0 && self.rate <= 1e6,
            "--rate: above 0, at most 1,000,000"
        );
        ensure!(
            self.seconds > 0.0 && self.seconds <= 86_400.0,
            "--seconds: above 0, at most a day"
        );
        ensure!(
            (0.0..=86_400.0).contains(&self.warm_up),
            "--warm-up: from 0 to a day"
        );
        ensure!(
            (0.0..=86_400.0).contains(&self.drain),
            "--drain: from 0 to a day"
        );
        ensure!(
            (1..=protocol::MAX_BODY_CHARS).contains(&self.body),
            "--body: from 1 to {}",
            protocol::MAX_BODY_CHARS
        );
        Ok(())
    }

    fn paced(&self, seconds: f64, phase: Phase) -> Paced {
        let (rate, lasting) = (self.rate, Duration::from_secs_f64(seconds));
        Paced {
            rate,
            lasting,
            bytes: self.body,
            phase,
            rooms: Vec::new(),
        }
    }
}

/// Runs it.
///
/// # Errors
/// When the arguments make no sense, or the system can't be started or reached. A bad verdict is no error: see
/// [`Report::is_good`].
pub async fn run(args: &RunArgs) -> anyhow::Result<Report> {
    args.check()?;
    let system = if args.stack {
        #[expect(clippy::cast_precision_loss, reason = "a number of users")]
        let rate_per_user = args.rate / args.users as f64;
        let demand = Demand {
            rate_per_user,
            room_size: args.room_size + 1,
        };
        let warm_up = Duration::from_secs_f64(args.warm_up);
        Some(own_cluster::start(&demand, warm_up).await?)
    } else {
        None
    };
    let report = drive(args, system.as_ref()).await;
    if let Some(system) = system {
        system
            .stop(report.as_ref().is_ok_and(Report::is_good))
            .await;
    }
    report
}

async fn drive(args: &RunArgs, system: Option<&System>) -> anyhow::Result<Report> {
    let urls = system.map_or_else(|| args.was.clone(), |system| system.cluster.urls());
    let mut scenario = Scenario::new(urls);
    let bar = bar(args);
    bar.set_message("signing up");
    scenario.users(args.users).await?;
    bar.set_message("making rooms");
    scenario
        .rooms_of(plan::rooms(args.users, args.room_size))
        .await?;
    bar.set_message("connecting");
    scenario.connect_all().await?;

    let progress = follow(&bar, scenario.shared_gauge(), args.warm_up + args.seconds);
    scenario
        .send(&args.paced(args.warm_up, Phase::WarmUp))
        .await;
    let gauge = scenario.gauge();
    let (arrivals, cpu) = (gauge.arrivals(), system.map(System::cpu));
    scenario
        .send(&args.paced(args.seconds, Phase::Measured))
        .await;
    let arrivals = gauge.arrivals() - arrivals;
    let processes = system
        .zip(cpu)
        .map(|(system, cpu)| system.usage(&cpu))
        .unwrap_or_default();
    drop(progress);

    bar.set_message("waiting for the last ones");
    let verdict = scenario.settle(Duration::from_secs_f64(args.drain)).await;
    bar.finish_and_clear();
    let mut report = Report {
        users: args.users,
        room_size: args.room_size,
        rate: args.rate,
        seconds: args.seconds,
        body: args.body,
        issued: gauge.issued(),
        accepted: gauge.accepted(),
        delivered: gauge.delivered(),
        failings: Failings::from(&verdict),
        outbox_full: gauge.refused(),
        delayed: gauge.delayed(),
        accepted_ms: gauge.accepted_after.percentiles(),
        received_ms: gauge.received_after.percentiles(),
        cpu_us_per_delivery: per_delivery(system.is_some(), processes::total(&processes), arrivals),
        away_ms: scenario.away(),
        processes,
        details: verdict.details,
    };
    report.details.extend(gauge.remarks());
    Ok(report)
}

fn per_delivery(known: bool, cpu_seconds: f64, arrivals: u64) -> Option<f64> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "numbers of arrivals stay far below 2^52"
    )]
    let arrivals = arrivals as f64;
    (known && arrivals > 0.0).then(|| cpu_seconds * 1e6 / arrivals)
}

/// On stderr, and only on a terminal.
fn bar(args: &RunArgs) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {elapsed} {msg}");
    let ms = Duration::from_secs_f64(args.warm_up + args.seconds).as_millis();
    let bar = ProgressBar::new(u64::try_from(ms).unwrap_or(u64::MAX));
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn follow(bar: &ProgressBar, gauge: Arc<Gauge>, seconds: f64) -> AbortOnDropHandle<()> {
    let (bar, start) = (bar.clone(), Instant::now());
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut ticks = interval(Duration::from_millis(500));
        loop {
            ticks.tick().await;
            if bar.is_hidden() {
                continue;
            }
            let done = start.elapsed();
            bar.set_position(u64::try_from(done.as_millis()).unwrap_or(u64::MAX));
            let (accepted, arrivals, received) = (
                gauge.accepted(),
                gauge.arrivals(),
                gauge.received_after.percentiles(),
            );
            let of = done.as_secs();
            bar.set_message(format!(
                "{of}/{seconds:.0} s, accepted {accepted}, arrived {arrivals}, p50 {:.1} ms, p99 {:.1} ms",
                received.p50, received.p99
            ));
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::flags;

    fn parse(line: &str) -> RunArgs {
        flags(line).unwrap()
    }

    #[test]
    fn takes_the_flags() {
        let args = parse(
            "run --users 1000 --room-size 2 --rate 500 --seconds 30 --body 64 --was http://a:1,http://b:2",
        );
        assert_eq!((args.users, args.room_size, args.body), (1000, 2, 64));
        assert_eq!(args.was, ["http://a:1", "http://b:2"]);
        assert!(args.check().is_ok());
        assert!(parse("run --stack --json out.json").stack);
        assert!(parse("run --users 1").check().is_err());
        assert!(parse("run --users 10 --room-size 11").check().is_err());
    }
}
