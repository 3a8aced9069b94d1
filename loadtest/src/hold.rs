//! `loadtest hold`: a cluster of its own under steady load, and what the lines of stdin say happens to it, one after another.
//! For who looks at it from outside meanwhile, as a Prometheus.
//!
//! [`order`] reads a line, [`bustle`] does what the load leaves out, [`targets`] tells where the metrics are. Pure: `order`,
//! `targets`.

mod bustle;
mod order;
mod targets;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use clap::Args;
use stack::Server;
use tokio::{sync::mpsc, task::block_in_place};

use self::order::Order;
use crate::{
    Failings,
    breaking::{Course, Load, Slow, forget_route, load},
    own_cluster::{self, Ground, LANES},
    processes::System,
    scenario::Scenario,
};

/// Records that can't be decoded, in each lane.
const POISON: usize = 1;
/// How long the last messages may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Holds a cluster of its own under load: 3 gateways, 2 classifiers, 2 push workers.
///
/// It says `ready`, then answers each line of stdin with `done` or `failed: why`, and ends with stdin. A line is one of:
/// kill NAME, pause NAME (a gateway `was-1`, `classifier-1`, `push-1`, or `kafka-1`, `postgres`, `redis`), resume NAME,
/// start NAME (until it is ready), flush (Redis), forget (the routes of all users), poison (records that nobody can read),
/// flood (sockets that nobody reads), calm, vanish (users, for good), settle (the load
/// ends; nothing may be lost, doubled, out of order or left open), load (once more), keep
/// (all logs, in a folder that stderr names).
#[derive(Debug, Clone, Args)]
pub struct HoldArgs {
    /// Messages a second, over all sessions.
    #[arg(long, default_value_t = 60.0)]
    pub rate: f64,
    /// Sessions, over 3 gateways, in rooms of two.
    #[arg(long, default_value_t = 30)]
    pub users: usize,
    /// Further members: so many are never connected, and as many leave with `vanish`.
    #[arg(long, default_value_t = 4)]
    pub absent: usize,
    /// A setting of all processes, as their environment has it.
    #[arg(long = "set", value_name = "SWITCHBOARD_…=VALUE", value_parser = setting)]
    pub settings: Vec<(String, String)>,
    /// Write where the processes tell their metrics: a file for Prometheus's `file_sd_configs`.
    #[arg(long, value_name = "FILE.json")]
    pub targets: Option<PathBuf>,
}

impl HoldArgs {
    fn course(&self) -> Course {
        Course {
            users: self.users,
            room_size: 2,
            absent: self.absent,
            leaving: self.absent,
            rate: self.rate,
            before: Duration::ZERO,
            after: Duration::ZERO,
            at_least: Duration::ZERO,
        }
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if name.starts_with("SWITCHBOARD_") => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("as SWITCHBOARD_WAS_AUDIT_LEAST=3s".to_owned()),
    }
}

/// Holds it until stdin ends.
///
/// # Errors
/// When the arguments make no sense, or the cluster can't be started. An order that fails is answered, no more.
pub async fn hold(args: &HoldArgs) -> anyhow::Result<()> {
    let course = args.course();
    course.check()?;
    let ground = own_cluster::start_to_hold(&course.demand(), args.settings.clone()).await?;
    let obeyed = obey_all(args, &course, &ground).await;
    let well = matches!(obeyed, Ok(true));
    ground.system.stop(well).await;
    obeyed.map(drop)
}

/// Whether every order was carried out.
async fn obey_all(args: &HoldArgs, course: &Course, ground: &Ground) -> anyhow::Result<bool> {
    let system = &ground.system;
    let scenario = course.scenario(system.cluster.urls()).await?;
    let _bustle = bustle::start(system.cluster.urls()).await?;
    let mut held = Held {
        system,
        load: Some(load(&scenario, course.rate, Vec::new())),
        rate: course.rate,
        scenario,
        slow: None,
        users: course.users,
    };
    if let Some(file) = &args.targets {
        let text = targets::targets(system.cluster.services()).to_string();
        std::fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
    }
    say("ready");
    let (mut lines, mut well) = (lines_of_stdin(), true);
    while let Some(line) = lines.recv().await {
        if line.trim().is_empty() {
            continue;
        }
        let done = match line.parse() {
            Ok(order) => held.obey(order).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => say("done"),
            Err(error) => {
                well = false;
                say(&format!("failed: {error:#}").replace('\n', " "));
            }
        }
    }
    Ok(well)
}

struct Held<'a> {
    system: &'a System,
    scenario: Arc<Scenario>,
    /// Until it is settled.
    load: Option<Load>,
    rate: f64,
    /// While there is a flood.
    slow: Option<Slow>,
    users: usize,
}

impl Held<'_> {
    fn process(&self, name: &str) -> anyhow::Result<&Server> {
        let mut all = self.system.processes();
        all.find(|one| one.name() == name).with_context(|| {
            let names: Vec<&str> = self.system.processes().map(Server::name).collect();
            format!("there is no {name}, only {}", names.join(", "))
        })
    }

    async fn obey(&mut self, order: Order) -> anyhow::Result<()> {
        match order {
            Order::Kill(name) => {
                let one = self.process(&name)?;
                block_in_place(|| one.kill());
            }
            Order::Start(name) => {
                let one = self.process(&name)?;
                one.start()?;
                one.ready().await?;
            }
            Order::Pause(name) => self.process(&name)?.pause(),
            Order::Resume(name) => self.process(&name)?.resume(),
            Order::Flush => self.system.stack.flush_redis().await?,
            Order::Forget => {
                for session in self.scenario.staying() {
                    forget_route(self.system, &self.scenario, session).await?;
                }
            }
            Order::Poison => {
                self.system.space.poison(LANES, POISON).await?;
            }
            Order::Flood => {
                let mut slow = Slow::prepare(&self.system.cluster, self.users).await?;
                slow.flood();
                self.slow = Some(slow);
            }
            Order::Calm => {
                let slow = self.slow.take().context("there is no flood")?;
                slow.stop(&self.system.cluster).await?;
            }
            Order::Vanish => self.scenario.vanish().await,
            Order::Settle => return self.settle().await,
            Order::Load => {
                self.load = Some(load(&self.scenario, self.rate, Vec::new()));
            }
            Order::Keep => {
                self.system.stack.keep_logs();
            }
        }
        Ok(())
    }

    async fn settle(&mut self) -> anyhow::Result<()> {
        let load = self.load.take().context("it is settled already")?;
        load.end().await?;
        let verdict = self.scenario.settle(PATIENCE).await;
        if !Failings::from(&verdict).is_empty() {
            bail!("{}", self.scenario.explain(&verdict));
        }
        Ok(())
    }
}

/// On a thread: nothing can end a read of stdin.
fn lines_of_stdin() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

#[expect(clippy::print_stdout, reason = "the answers are the result")]
fn say(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::flags;

    #[test]
    fn takes_settings_as_the_environment_has_them() {
        let args: HoldArgs = flags("hold --set SWITCHBOARD_A=b=c --set SWITCHBOARD_D=").unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            args.settings,
            [pair("SWITCHBOARD_A", "b=c"), pair("SWITCHBOARD_D", "")]
        );
        for wrong in ["was.audit_least=3s", "SWITCHBOARD_A"] {
            let args = flags::<HoldArgs>(&format!("hold --set {wrong}"));
            assert!(args.is_err(), "{wrong}");
        }
    }
}
