//! `loadtest soak`: a fault each minute, chosen by a seed, for as long as one likes; and what it did to memory.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::ensure;
use clap::Args;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    breaking::{Course, Fault, Row, Scene, bar, round, say, table, warm_up},
    own_cluster::{self, Ground},
    processes::mib,
    typed::typed,
};

/// How long a round's load lasts at least; connecting and waiting for the last ones come on top.
const ROUND: Duration = Duration::from_secs(54);

/// Keeps a cluster of its own under load, with a random fault each minute.
#[derive(Debug, Clone, Args)]
pub struct SoakArgs {
    /// For how long.
    #[arg(long, default_value_t = 60.0)]
    pub minutes: f64,
    /// Messages a second, over all sessions.
    #[arg(long, default_value_t = 500.0)]
    pub rate: f64,
    /// Sessions, over 3 gateways; new ones each minute.
    #[arg(long, default_value_t = 500)]
    pub users: usize,
    /// Whom the faults meet, and on what.
    #[command(flatten)]
    pub scene: Scene,
    /// Which faults come when; the same seed, the same faults. Random if not given, and told.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Choose among these faults only.
    #[arg(long, value_name = "NAME", value_enum, value_delimiter = ',')]
    pub only: Vec<Fault>,
    /// Seconds that a round's load lasts at least.
    #[arg(long, default_value_t = ROUND.as_secs_f64(), hide = true)]
    pub round: f64,
    /// Write the result as JSON; `-` is stdout.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl SoakArgs {
    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.minutes > 0.0 && self.minutes <= 10_080.0,
            "--minutes: above 0, at most a week"
        );
        ensure!(
            (1.0..=3_600.0).contains(&self.round),
            "--round: from 1 s to an hour"
        );
        self.scene.check()?;
        self.scene.check_faults(&self.faults())?;
        self.course().check()?;
        ensure!(
            !self.faults().is_empty(),
            "--only: with one broker two can't be killed"
        );
        Ok(())
    }

    fn course(&self) -> Course {
        Course {
            users: self.users,
            room_size: self.scene.room_size,
            absent: self.scene.absent,
            leaving: self.scene.leaving,
            rate: self.rate,
            before: Duration::from_secs(6).min(self.at_least() / 4),
            after: Duration::from_secs(8).min(self.at_least() / 4),
            at_least: self.at_least(),
        }
    }

    fn at_least(&self) -> Duration {
        Duration::from_secs_f64(self.round.max(0.0))
    }

    /// What is chosen among.
    fn faults(&self) -> Vec<Fault> {
        let all = if self.only.is_empty() {
            Fault::usual(self.scene.redis)
        } else {
            self.only.clone()
        };
        let possible = |fault: &Fault| self.scene.brokers == 3 || *fault != Fault::TwoBrokersKilled;
        all.into_iter().filter(possible).collect()
    }
}

/// A process's resident memory over the run, in MiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Memory {
    /// After the warm-up.
    pub start_mib: f64,
    /// After the last round.
    pub end_mib: f64,
    /// The most that was seen after any round.
    pub most_mib: f64,
    /// How often it was started again; its memory began anew each time.
    pub restarts: u32,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct SoakReport {
    /// What chose the faults.
    pub seed: u64,
    /// How long it lasted.
    pub minutes: f64,
    /// A row for each minute.
    pub rows: Vec<Row>,
    /// By process.
    pub memory: BTreeMap<String, Memory>,
    /// Why it ended early.
    pub failed: Option<String>,
}

impl SoakReport {
    /// Whether it went on to the end and every row is good.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failed.is_none() && self.rows.iter().all(Row::is_good)
    }
}

impl std::fmt::Display for SoakReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", table(&self.rows))?;
        for row in self.rows.iter().filter(|row| !row.is_good()) {
            for remark in &row.remarks {
                writeln!(f, "{}: {remark}", row.name)?;
            }
        }
        let sum = |of: fn(&Row) -> u64| self.rows.iter().map(of).sum::<u64>();
        writeln!(
            f,
            "\n{:.1} minutes, seed {}, {} faults: accepted {}, delivered {}, pushed {}, lost {}, doubled {}, out of order {}, \
             not pushed {}",
            self.minutes,
            self.seed,
            self.rows.len(),
            sum(|row| row.accepted),
            sum(|row| row.delivered),
            sum(|row| row.pushed),
            sum(|row| row.failings.lost),
            sum(|row| row.failings.duplicated),
            sum(|row| row.failings.out_of_order),
            sum(|row| row.unpushed),
        )?;
        writeln!(
            f,
            "\n| process | MiB at the start | at the end | most | restarts |"
        )?;
        writeln!(f, "| --- | ---: | ---: | ---: | ---: |")?;
        for (name, memory) in &self.memory {
            let Memory {
                start_mib,
                end_mib,
                most_mib,
                restarts,
            } = memory;
            writeln!(
                f,
                "| {name} | {start_mib:.1} | {end_mib:.1} | {most_mib:.1} | {restarts} |"
            )?;
        }
        if let Some(failed) = &self.failed {
            writeln!(f, "ended early: {failed}")?;
        }
        Ok(())
    }
}

/// Runs it.
///
/// # Errors
/// When the arguments make no sense or the cluster can't be started. A bad verdict, or a fault that could not be
/// repaired, is none: see [`SoakReport::is_good`].
pub async fn soak(args: &SoakArgs) -> anyhow::Result<SoakReport> {
    args.check()?;
    let course = args.course();
    let cables = args.faults().iter().any(|fault| fault.needs_cables());
    let ground = own_cluster::start_to_break(&course.demand(), &args.scene, cables).await?;
    let report = rounds(args, &course, &ground).await;
    ground.system.stop(report.is_good()).await;
    Ok(report)
}

async fn rounds(args: &SoakArgs, course: &Course, ground: &Ground) -> SoakReport {
    let seed = args.seed.unwrap_or_else(rand::random);
    let bar = bar();
    say(&bar, &format!("seed {seed}"));
    bar.set_prefix("warming up");
    let mut report = SoakReport {
        seed,
        minutes: 0.0,
        rows: Vec::new(),
        memory: BTreeMap::new(),
        failed: None,
    };
    if let Err(error) = warm_up(course, args.round.min(15.0), ground.system.cluster.urls()).await {
        report.failed = Some(format!("warm-up: {error:#}"));
        return report;
    }
    let mut memories = Memories::default();
    memories.look(ground);
    let (start, lasting) = (Instant::now(), Duration::from_secs_f64(args.minutes * 60.0));
    let mut faults = Choice::new(seed, args.faults());
    // One round at least, however short it is to be.
    loop {
        let fault = faults.next();
        let name = typed(&fault);
        let minute = start.elapsed().as_secs_f64() / 60.0;
        bar.set_prefix(format!("{minute:.1}/{:.1} min, {name}", args.minutes));
        match round(course, fault, ground, &bar).await {
            Ok((row, _)) => {
                say(&bar, &row.cells().join("  "));
                report.rows.push(row);
            }
            Err(error) => {
                report.failed = Some(format!("{name}: {error:#}"));
                break;
            }
        }
        memories.look(ground);
        if start.elapsed() >= lasting {
            break;
        }
    }
    bar.finish_and_clear();
    report.minutes = start.elapsed().as_secs_f64() / 60.0;
    report.memory = memories.told();
    report
}

/// The faults to come. Pure: the same seed gives the same ones.
struct Choice {
    random: StdRng,
    among: Vec<Fault>,
}

impl Choice {
    fn new(seed: u64, among: Vec<Fault>) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self { random, among }
    }

    fn next(&mut self) -> Fault {
        self.among[self.random.random_range(0..self.among.len())]
    }
}

/// Every process's memory, looked at now and then.
#[derive(Debug, Default)]
struct Memories(BTreeMap<String, (Option<u32>, Memory)>);

impl Memories {
    fn look(&mut self, ground: &Ground) {
        for process in ground.system.processes() {
            self.add(process.name(), process.pid(), mib(process.rss()));
        }
        let own = std::process::id();
        self.add("loadtest", Some(own), mib(stack::resident_bytes_alone(own)));
    }

    fn add(&mut self, name: &str, pid: Option<u32>, now: f64) {
        let first = (
            pid,
            Memory {
                start_mib: now,
                ..Memory::default()
            },
        );
        let (before, memory) = self.0.entry(name.to_owned()).or_insert(first);
        if *before != pid {
            memory.restarts += 1;
            *before = pid;
        }
        memory.end_mib = now;
        memory.most_mib = memory.most_mib.max(now);
    }

    fn told(self) -> BTreeMap<String, Memory> {
        let all = self.0.into_iter();
        all.map(|(name, (_, memory))| (name, memory)).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::flags::flags;

    fn parse(line: &str) -> SoakArgs {
        flags(line).unwrap()
    }

    #[test]
    fn takes_the_flags() {
        let args = parse("soak --minutes 2 --seed 7 --only was-kill,was-term");
        assert!(args.check().is_ok());
        assert_eq!((args.seed, args.faults().len()), (Some(7), 2));
        assert_eq!(parse("soak").faults().len(), 22);
        assert!(
            !parse("soak --brokers 1")
                .faults()
                .contains(&Fault::TwoBrokersKilled)
        );
        let none = parse("soak --brokers 1 --only two-brokers-killed");
        assert!(none.check().is_err());
        assert!(parse("soak --minutes 0").check().is_err());
        assert!(parse("soak --room-size 1").check().is_err());
    }

    #[test]
    fn the_same_seed_chooses_the_same_faults() {
        let chosen = |seed| {
            let mut choice = Choice::new(seed, Fault::value_variants().to_vec());
            (0..60).map(|_| choice.next()).collect::<Vec<_>>()
        };
        assert_eq!(chosen(1), chosen(1));
        assert_ne!(chosen(1), chosen(2));
        let kinds = Fault::value_variants()
            .iter()
            .filter(|fault| chosen(1).contains(fault));
        assert!(kinds.count() > 12, "an hour tries most of them");
    }

    #[test]
    fn memory_is_that_of_the_start_the_end_and_the_peak() {
        let mut memories = Memories::default();
        for (pid, now) in [(1, 10.0), (1, 40.0), (2, 5.0), (2, 20.0)] {
            memories.add("was-1", Some(pid), now);
        }
        let memory = memories.told()["was-1"];
        let wanted = Memory {
            start_mib: 10.0,
            end_mib: 20.0,
            most_mib: 40.0,
            restarts: 1,
        };
        assert_eq!(memory, wanted);
    }
}
