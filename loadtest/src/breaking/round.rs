//! One fault under load: users of its own, a verdict of its own.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use indicatif::ProgressBar;
use tokio::time::{Instant, interval, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::{
    BreakArgs,
    fault::Fault,
    picture::Story,
    row::Row,
    strike::{Harm, restore},
    times::{self, Moments},
};
use crate::{
    plan::{self, Phase},
    processes::System,
    scenario::{Paced, Scenario},
};

/// Runs the load, and the fault in its midst.
pub(super) async fn round(
    args: &BreakArgs,
    fault: Fault,
    system: &System,
    bar: &ProgressBar,
) -> anyhow::Result<(Row, Story)> {
    bar.set_message("connecting");
    let mut scenario = Scenario::new(system.cluster.urls());
    scenario.users(args.users).await?;
    scenario.rooms_of(plan::rooms(args.users, 2)).await?;
    scenario.connect_all().await?;
    let scenario = Arc::new(scenario);
    let gauge = scenario.gauge();
    let mut harm = Harm::prepare(fault, system, &scenario, args.users).await?;

    let load = load(&scenario, args.rate);
    let progress = follow(bar, &scenario);
    // New sessions settle, connections and caches fill: not yet what is steady.
    sleep(args.before() / 2).await;
    gauge.trace.start();
    let steady_us = gauge.us(Instant::now());
    sleep(args.before() / 2).await;
    let fault_us = gauge.us(harm.strike().await.context("strike")?);
    harm.heal().await.context("repair")?;
    let lasted = Duration::from_micros(gauge.us(Instant::now()) - fault_us);
    sleep(args.after()).await;
    drop(load);

    let verdict = scenario.settle(fault.patience()).await;
    drop(progress);
    let deliveries = gauge.trace.take();
    let moments = Moments {
        steady_us,
        fault_us,
    };
    harm.look_back().await?;
    let mut row = Row {
        name: fault.name(),
        sessions: args.users,
        rate: args.rate,
        affected: harm.affected.len(),
        resumed: gauge.absences().len(),
        gaps: gauge.gaps(),
        lasted_ms: lasted.as_secs_f64() * 1000.0,
        accepted_meanwhile: harm.accepted_meanwhile,
        ..Row::default()
    };
    row.judge(verdict);
    row.time(&times::times(&deliveries, moments, &harm.affected));
    row.remarks.extend(harm.remarks);
    row.remarks.extend(restore(system).await?);
    if !row.is_good() {
        row.remarks.extend(gauge.remarks());
    }
    let story = Story {
        name: row.name.clone(),
        repaired: lasted.as_secs_f64(),
        points: times::points(&deliveries, moments),
    };
    Ok((row, story))
}

/// On a task of its own: a fault that takes its time must not hold up the load.
pub(super) fn load(scenario: &Arc<Scenario>, rate: f64) -> AbortOnDropHandle<()> {
    let scenario = Arc::clone(scenario);
    AbortOnDropHandle::new(tokio::spawn(async move {
        let load = Paced {
            rate,
            // Until it is dropped.
            lasting: Duration::from_hours(24),
            bytes: 256,
            phase: Phase::Measured,
            rooms: Vec::new(),
        };
        scenario.send(&load).await;
    }))
}

fn follow(bar: &ProgressBar, scenario: &Arc<Scenario>) -> AbortOnDropHandle<()> {
    let (bar, scenario, start) = (bar.clone(), Arc::clone(scenario), Instant::now());
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut ticks = interval(Duration::from_millis(500));
        let mut before = 0;
        loop {
            ticks.tick().await;
            if bar.is_hidden() {
                continue;
            }
            let gauge = scenario.gauge();
            let (issued, accepted, arrivals) = (gauge.issued(), gauge.accepted(), gauge.arrivals());
            bar.set_message(format!(
                "{:.0} s, issued {issued}, accepted {accepted}, arriving {}/s, waited for {}",
                start.elapsed().as_secs_f64(),
                2 * (arrivals - before),
                scenario.waiting(),
            ));
            before = arrivals;
        }
    }))
}
