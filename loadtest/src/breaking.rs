//! `loadtest break`: a cluster of its own is broken in one way after another while it works, and what was lost,
//! doubled or out of order is counted.
//!
//! [`round`] runs one fault: users of its own, steady load, [`strike`], repair, verdict, and whether who was not there was
//! told ([`pushes`]). What is told of it is made by pure parts: [`times`] from every single arrival, [`row`], [`picture`],
//! [`page`].

mod fault;
mod page;
mod picture;
mod pushes;
mod round;
mod rounds;
mod row;
mod slow;
mod strike;
mod times;

use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use stack::RedisKind;
use tokio::time::sleep;

use crate::{
    own_cluster::{self, Ground},
    typed::typed,
};

pub use fault::Fault;
pub(crate) use pushes::Pushes;
pub(crate) use round::{Blow, Course, Load, follow, load, ride, round};
pub use rounds::Rounds;
pub use row::Row;
pub(crate) use row::table;
pub(crate) use slow::Slow;
pub(crate) use strike::forget_route;
pub use times::Spread;
pub(crate) use times::{Moments, times};

/// Who is there in each round, beside those who talk, and how many brokers.
#[derive(Debug, Clone, Args)]
pub struct Scene {
    /// Members with a session in a room; each is in one room.
    #[arg(long, default_value_t = 2)]
    pub room_size: usize,
    /// Further members who are never connected: they have to be pushed.
    #[arg(long, default_value_t = 10)]
    pub absent: usize,
    /// Further members on the first gateway who vanish for good as the fault begins: what did not reach them has to be
    /// pushed.
    #[arg(long, default_value_t = 10)]
    pub leaving: usize,
    /// Kafka brokers: 3, or 1 for a quick look.
    #[arg(long, default_value_t = 3)]
    pub brokers: usize,
    /// As what Redis stands there: one server, a cluster of three, or a primary with a replica and three sentinels. Of the
    /// last two only what is about Redis is broken, unless something else is asked for.
    #[arg(long, value_enum, default_value_t = RedisKind::One)]
    pub redis: RedisKind,
}

impl Scene {
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(matches!(self.brokers, 1 | 3), "--brokers: 1 or 3");
        Ok(())
    }

    /// Whether these faults can be had.
    pub(crate) fn check_faults(&self, faults: &[Fault]) -> anyhow::Result<()> {
        for fault in faults {
            ensure!(
                fault.is_possible(self.redis),
                "{} can't be had with --redis {}",
                typed(fault),
                typed(&self.redis)
            );
        }
        Ok(())
    }
}

/// Breaks a cluster of its own, one fault after another, under steady load.
#[derive(Debug, Clone, Args)]
pub struct BreakArgs {
    /// Only this fault; may be given several times.
    #[arg(long, value_name = "NAME", value_enum, value_delimiter = ',')]
    pub only: Vec<Fault>,
    /// Messages a second, over all sessions.
    #[arg(long, default_value_t = 1_000.0)]
    pub rate: f64,
    /// Sessions, over 3 gateways.
    #[arg(long, default_value_t = 500)]
    pub users: usize,
    /// Whom the faults meet, and on what.
    #[command(flatten)]
    pub scene: Scene,
    /// How long, and where it is written to.
    #[command(flatten)]
    pub rounds: Rounds,
}

impl BreakArgs {
    fn check(&self) -> anyhow::Result<()> {
        self.course().check()?;
        self.rounds.check()?;
        self.scene.check()?;
        self.scene.check_faults(&self.faults())?;
        ensure!(
            self.scene.brokers == 3 || !self.faults().contains(&Fault::TwoBrokersKilled),
            "two-brokers-killed needs --brokers 3"
        );
        Ok(())
    }

    fn faults(&self) -> Vec<Fault> {
        if self.only.is_empty() {
            Fault::usual(self.scene.redis)
        } else {
            self.only.clone()
        }
    }

    fn course(&self) -> Course {
        Course {
            users: self.users,
            room_size: self.scene.room_size,
            absent: self.scene.absent,
            leaving: self.scene.leaving,
            rate: self.rate,
            before: self.rounds.load_before(),
            after: self.rounds.load_after(),
            at_least: Duration::ZERO,
        }
    }
}

/// All that was measured.
#[derive(Debug, Clone, Default, Serialize)]
pub struct BreakReport {
    /// One for each fault.
    pub rows: Vec<Row>,
    #[serde(skip)]
    pub(crate) stories: Vec<picture::Story>,
    /// Why not all faults were tried.
    pub failed: Option<String>,
}

impl BreakReport {
    /// Whether every fault was tried and every row is good.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failed.is_none() && self.rows.iter().all(Row::is_good)
    }

    /// The rows and pictures as one HTML file.
    #[must_use]
    pub fn page(&self) -> String {
        page::page(&self.rows, &self.stories, self.failed.as_deref())
    }
}

impl std::fmt::Display for BreakReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", table(&self.rows))?;
        for row in &self.rows {
            for remark in &row.remarks {
                writeln!(f, "{}: {remark}", row.name)?;
            }
        }
        if let Some(failed) = &self.failed {
            writeln!(f, "ended early: {failed}")?;
        }
        Ok(())
    }
}

/// Breaks it.
///
/// # Errors
/// When the arguments make no sense or the cluster can't be started. A bad verdict, or a fault that could not be
/// repaired, is none: see [`BreakReport::is_good`].
pub async fn break_it(args: &BreakArgs) -> anyhow::Result<BreakReport> {
    args.check()?;
    let (course, faults) = (args.course(), args.faults());
    let cables = faults.iter().any(|fault| fault.needs_cables());
    let ground = own_cluster::start_to_break(&course.demand(), &args.scene, cables).await?;
    let report = all(args, &course, &ground).await;
    ground.system.stop(report.is_good()).await;
    Ok(report)
}

async fn all(args: &BreakArgs, course: &Course, ground: &Ground) -> BreakReport {
    let mut report = BreakReport::default();
    let bar = bar();
    bar.set_prefix("warming up");
    if let Err(error) = warm_up(course, args.rounds.warm_up, ground.system.cluster.urls()).await {
        report.failed = Some(format!("warm-up: {error:#}"));
        return report;
    }
    let faults = args.faults();
    for (number, fault) in (1..).zip(&faults) {
        let name = typed(fault);
        bar.set_prefix(format!("{number}/{} {name}", faults.len()));
        match round(course, *fault, ground, &bar).await {
            Ok((row, story)) => {
                say(&bar, &row.cells().join("  "));
                report.rows.push(row);
                report.stories.push(story);
            }
            Err(error) => {
                report.failed = Some(format!("{name}: {error:#}"));
                break;
            }
        }
    }
    bar.finish_and_clear();
    report
}

/// Load that nobody judges, for so many seconds: until the broker's compiler has come to rest.
pub(crate) async fn warm_up(
    course: &Course,
    seconds: f64,
    urls: Vec<String>,
) -> anyhow::Result<()> {
    if seconds <= 0.0 {
        return Ok(());
    }
    let scenario = course.scenario(urls).await?;
    let load = load(&scenario, course.rate, Vec::new());
    sleep(Duration::from_secs_f64(seconds)).await;
    drop(load);
    Ok(())
}

/// On stderr, and only on a terminal.
pub(crate) fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {elapsed} {prefix}: {msg}");
    let bar = ProgressBar::new_spinner();
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar
}

/// A line above the bar, or without one.
#[expect(
    clippy::print_stderr,
    reason = "what is known so far, should a long run not come to its end"
)]
pub(crate) fn say(bar: &ProgressBar, line: &str) {
    if bar.is_hidden() {
        eprintln!("{line}");
    } else {
        bar.println(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::flags;

    fn parse(line: &str) -> BreakArgs {
        flags(line).unwrap()
    }

    #[test]
    fn takes_the_flags() {
        let args = parse("break --only was-kill --rate 50 --json a.json --html a.html");
        assert_eq!(args.faults(), [Fault::WasKill]);
        assert!(args.check().is_ok());
        assert_eq!(parse("break").faults(), Fault::usual(RedisKind::One));
        let cluster = parse("break --redis cluster --brokers 1");
        assert!(cluster.check().is_ok() && cluster.faults().contains(&Fault::RedisNodeKilled));
        let cut = parse("break --redis sentinel --only was-cut").check();
        assert!(cut.unwrap_err().to_string().contains("--redis sentinel"));
        assert!(flags::<BreakArgs>("break --only nothing").is_err());
        assert!(parse("break --brokers 2").check().is_err());
        assert!(parse("break --brokers 1").check().is_err(), "one of two");
        let one = parse("break --brokers 1 --only was-kill,was-term");
        assert!(one.check().is_ok());
        assert_eq!(one.faults().len(), 2);
    }

    #[test]
    fn a_run_that_ended_early_is_not_good() {
        let report = |failed: Option<&str>| BreakReport {
            rows: vec![Row::default()],
            stories: Vec::new(),
            failed: failed.map(str::to_owned),
        };
        assert!(report(None).is_good());
        assert!(!report(Some("why")).is_good());
        assert!(report(Some("why")).to_string().contains("ended early: why"));
    }
}
