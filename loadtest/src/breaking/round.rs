//! One fault under load: users of its own, a verdict of its own.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use indicatif::ProgressBar;
use tokio::{
    sync::watch,
    time::{Instant, interval, sleep},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    fault::Fault,
    picture::Story,
    pushes::Pushes,
    row::Row,
    strike::{Harm, restore},
    times::{self, Moments},
};
use crate::{
    own_cluster::{Demand, Ground},
    plan::{self, Phase},
    scenario::{Paced, Scenario},
};

/// What goes on around a fault.
#[derive(Debug, Clone)]
pub(crate) struct Course {
    /// Sessions, over all gateways.
    pub(crate) users: usize,
    /// Of these in a room.
    pub(crate) room_size: usize,
    /// Further members who are never connected.
    pub(crate) absent: usize,
    /// Further members on the first gateway who are gone for good when the fault begins.
    pub(crate) leaving: usize,
    /// Messages a second, over all sessions.
    pub(crate) rate: f64,
    /// From the beginning of the load to the fault; the second half is what is usual.
    pub(crate) before: Duration,
    /// From the repair to the end of the load.
    pub(crate) after: Duration,
    /// The least that the load lasts in all.
    pub(crate) at_least: Duration,
}

impl Course {
    /// # Errors
    /// When it makes no sense; in the words of the command line.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.users >= 6, "--users: two on each gateway at least");
        ensure!(
            (2..=self.users).contains(&self.room_size),
            "--room-size: from 2 to the number of users"
        );
        ensure!(
            self.rate > 0.0 && self.rate <= 1e6,
            "--rate: above 0, at most 1,000,000"
        );
        Ok(())
    }

    pub(crate) fn demand(&self) -> Demand {
        #[expect(clippy::cast_precision_loss, reason = "a number of users")]
        let rate_per_user = self.rate / self.users as f64;
        let rooms = self.users / self.room_size;
        Demand {
            rate_per_user,
            // Rooms that take one more because of who is left over, and those who don't send.
            room_size: self.room_size + 1 + (self.absent + self.leaving).div_ceil(rooms.max(1)),
        }
    }

    /// Users and rooms, all connected who ever are.
    pub(crate) async fn scenario(&self, urls: Vec<String>) -> anyhow::Result<Arc<Scenario>> {
        let mut scenario = Scenario::new(urls);
        scenario.users(self.users).await?;
        let mut silent = scenario.absent(self.absent).await?;
        let leaving = scenario.leaving(self.leaving).await?;
        silent.extend(&leaving);
        let mut rooms = plan::rooms(self.users, self.room_size);
        let count = rooms.len();
        for (number, index) in silent.into_iter().enumerate() {
            rooms[number % count].push(index);
        }
        scenario.rooms_of(rooms).await?;
        scenario
            .connect_by(|index| if leaving.contains(&index) { 0 } else { index })
            .await?;
        Ok(Arc::new(scenario))
    }
}

/// What befalls a system in the midst of a round.
pub(crate) trait Blow {
    /// How it is called in its row.
    fn name(&self) -> String;

    /// How long the last messages may take at the end.
    fn patience(&self) -> Duration;

    /// The sessions that it is about; asked before it strikes.
    fn affected(&self) -> anyhow::Result<Vec<usize>>;

    /// Strikes; returns since when.
    async fn strike(&mut self) -> anyhow::Result<Instant>;

    /// Lets it last, and repairs it; returns when everything stands again.
    async fn heal(&mut self) -> anyhow::Result<()>;
}

/// Runs the load, and the blow in its midst; all users are connected already. What it tells is of messages and times.
pub(crate) async fn ride(
    course: &Course,
    scenario: &Arc<Scenario>,
    blow: &mut impl Blow,
    bar: &ProgressBar,
) -> anyhow::Result<(Row, Story)> {
    let gauge = scenario.gauge();
    let load = load(scenario, course.rate, Vec::new());
    let (begin, progress) = (Instant::now(), follow(bar, scenario));
    // New sessions settle, connections and caches fill: not yet what is steady.
    sleep(course.before / 2).await;
    gauge.trace.start();
    let steady_us = gauge.us(Instant::now());
    sleep(course.before / 2).await;
    let affected = blow.affected()?;
    ensure!(!affected.is_empty(), "nobody is connected there");
    let fault_us = gauge.us(blow.strike().await.context("strike")?);
    blow.heal().await.context("repair")?;
    let lasted = Duration::from_micros(gauge.us(Instant::now()) - fault_us);
    sleep(
        course
            .after
            .max(course.at_least.saturating_sub(begin.elapsed())),
    )
    .await;
    load.end().await?;

    let verdict = scenario.settle(blow.patience()).await;
    drop(progress);
    ensure!(verdict.issued > 0, "nothing was sent: nothing to judge");
    let deliveries = gauge.trace.take();
    let moments = Moments {
        steady_us,
        fault_us,
    };
    let mut row = Row {
        name: blow.name(),
        sessions: course.users,
        room_size: course.room_size,
        absent: course.absent,
        leaving: course.leaving,
        rate: course.rate,
        affected: affected.len(),
        resumed: gauge.absences().len(),
        gaps: gauge.gaps(),
        lasted_ms: lasted.as_secs_f64() * 1000.0,
        ..Row::default()
    };
    row.judge(verdict);
    if gauge.refused() > 0 {
        let refused = gauge.refused();
        row.remarks.push(format!(
            "{refused} more were due and not sent: their senders' outboxes were full"
        ));
    }
    row.time(&times::times(&deliveries, moments, &affected));
    let story = Story {
        name: row.name.clone(),
        repaired: lasted.as_secs_f64(),
        points: times::points(&deliveries, moments),
    };
    Ok((row, story))
}

/// A round of a fault in a cluster of its own.
pub(crate) async fn round(
    course: &Course,
    fault: Fault,
    ground: &Ground,
    bar: &ProgressBar,
) -> anyhow::Result<(Row, Story)> {
    bar.set_message("connecting");
    let system = &ground.system;
    let scenario = course.scenario(system.cluster.urls()).await?;
    let mut harm = Harm::prepare(fault, system, &scenario, course.users).await?;
    let (mut row, story) = ride(course, &scenario, &mut harm, bar).await?;
    let pushes = Pushes::settle(&scenario, &ground.hook, fault.patience()).await;
    harm.look_back().await?;
    pushes.tell(&mut row);
    row.accepted_meanwhile = harm.accepted_meanwhile;
    row.remarks.extend(harm.remarks);
    row.remarks.extend(restore(system).await?);
    if !row.is_good() {
        row.remarks.extend(scenario.gauge().remarks());
    }
    Ok((row, story))
}

/// Messages until it is ended or dropped.
pub(crate) struct Load {
    end: watch::Sender<Option<Instant>>,
    task: AbortOnDropHandle<()>,
}

/// Messages to these rooms or to all, from now on. On a task of its own: a fault that takes its time must not hold up the
/// load.
pub(crate) fn load(scenario: &Arc<Scenario>, rate: f64, rooms: Vec<usize>) -> Load {
    let (scenario, start) = (Arc::clone(scenario), Instant::now());
    let (end, mut ended) = watch::channel(None);
    let task = tokio::spawn(async move {
        let load = Paced {
            rate,
            lasting: Duration::from_hours(24),
            bytes: 256,
            phase: Phase::Measured,
            rooms,
        };
        scenario.send_until(&load, start, &mut ended).await;
    });
    Load {
        end,
        task: AbortOnDropHandle::new(task),
    }
}

impl Load {
    /// Ends it now. What was due by now and is late is sent before this returns: on a machine that stood still for a moment
    /// it is the same load.
    ///
    /// # Errors
    /// When it had ended by itself.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        ensure!(!self.task.is_finished(), "the load ended by itself");
        self.end.send_replace(Some(Instant::now()));
        self.task.await.context("the load ended by itself")
    }
}

pub(crate) fn follow(bar: &ProgressBar, scenario: &Arc<Scenario>) -> AbortOnDropHandle<()> {
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
