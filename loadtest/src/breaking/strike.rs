//! Doing harm, and undoing it.

use std::time::Duration;

use anyhow::{Context, ensure};
use stack::{Cable, Server};
use tokio::{
    task::block_in_place,
    time::{Instant, sleep},
};

use super::{
    fault::{Fault, Way, Whom},
    round::Blow,
    slow::Slow,
};
use crate::{own_cluster::LANES, processes::System, scenario::Scenario, typed::typed};

/// Routes of users are spread over so many shards: `route:{rN}:user`, N = user mod 256, as `RouteTable::key` in
/// routing/src/routes.rs has it; not a dependency, so the fault fails loudly when that changes.
const SHARDS: i64 = 256;
/// Records that can't be decoded, in each lane.
const POISON: usize = 10;
/// How long a process that was asked to end may take.
const ENDING: Duration = Duration::from_secs(20);
/// Between two connections that are torn.
const TEAR_EVERY: Duration = Duration::from_millis(250);
/// Appends of which a classifier does not know what became.
const UNKNOWN: &str = "classifier_append_failures_total{kind=\"unknown\"}";
/// How often it is looked whether what must come has come.
const LOOK: Duration = Duration::from_millis(100);
/// What was on its way when the second broker died may still be told.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// One fault, from its preparation to its repair.
pub(super) struct Harm<'a> {
    fault: Fault,
    system: &'a System,
    scenario: &'a Scenario,
    slow: Option<Slow>,
    /// Of Redis: it may be another one after each fault.
    primary: &'a Server,
    buried_before: i64,
    poison: i64,
    unknown_before: f64,
    torn_before: usize,
    /// What was told to the clients as accepted while nothing could be.
    pub(super) accepted_meanwhile: Option<u64>,
    /// What else is worth telling.
    pub(super) remarks: Vec<String>,
}

impl<'a> Harm<'a> {
    /// What has to be there before the load.
    pub(super) async fn prepare(
        fault: Fault,
        system: &'a System,
        scenario: &'a Scenario,
        users: usize,
    ) -> anyhow::Result<Self> {
        let (mut slow, mut buried_before, mut unknown_before) = (None, 0, 0.0);
        match fault.way() {
            Way::Slow => slow = Some(Slow::prepare(&system.cluster, users).await?),
            Way::Poison => buried_before = system.space.buried().await?,
            Way::Tear => unknown_before = system.cluster.classifier(0).counted(UNKNOWN).await?,
            _ => {}
        }
        Ok(Self {
            fault,
            system,
            scenario,
            slow,
            primary: system.stack.redis_servers().primary().await?,
            buried_before,
            poison: 0,
            unknown_before,
            torn_before: torn(system.stack.cables()),
            accepted_meanwhile: None,
            remarks: Vec::new(),
        })
    }

    fn targets(&self) -> Vec<&'a Server> {
        let (cluster, stack) = (&self.system.cluster, &self.system.stack);
        match self.fault.whom() {
            Whom::Was(count) => cluster.gateways().take(count).map(|one| &**one).collect(),
            Whom::Classifier(count) => cluster
                .classifiers()
                .take(count)
                .map(|one| &**one)
                .collect(),
            Whom::Broker(count) => stack.kafka().iter().take(count).collect(),
            Whom::Redis => vec![self.primary],
            Whom::RedisNode => stack.redis_servers().all().last().into_iter().collect(),
            Whom::Postgres => vec![stack.postgres()],
            Whom::Nobody => Vec::new(),
        }
    }

    /// The network of who is hit: see [`crate::own_cluster`].
    fn cable(&self) -> anyhow::Result<&'a Cable> {
        let at = usize::from(matches!(self.fault.whom(), Whom::Classifier(_)));
        let cables = self.system.stack.cables();
        cables.get(at).context("it has no network of its own")
    }

    async fn last(&mut self) {
        let lasting = self.fault.lasting();
        if self.fault.way() == Way::Tear {
            return self.tear(lasting).await;
        }
        if self.fault != Fault::TwoBrokersKilled {
            return sleep(lasting).await;
        }
        let gauge = self.scenario.gauge();
        sleep(ON_ITS_WAY).await;
        let before = gauge.accepted();
        sleep(lasting.saturating_sub(ON_ITS_WAY)).await;
        self.accepted_meanwhile = Some(gauge.accepted() - before);
    }

    /// One connection of each after the other: whoever asks Postgres something next.
    async fn tear(&self, lasting: Duration) {
        let tear = |count| {
            for cable in self.system.stack.cables() {
                cable.postgres().tear(count);
            }
        };
        let end = Instant::now() + lasting;
        while Instant::now() < end {
            tear(1);
            sleep(TEAR_EVERY).await;
        }
        // Who has asked nothing for a while is not to be reset after the fault.
        tear(0);
    }

    /// How many records have come into `chat-dlq`, once it is all of the poison (I11).
    async fn all_buried(&self) -> anyhow::Result<i64> {
        let (deadline, poison) = (Instant::now() + self.fault.patience(), self.poison);
        loop {
            let buried = self.system.space.buried().await? - self.buried_before;
            if buried >= poison {
                return Ok(buried);
            }
            ensure!(
                Instant::now() < deadline,
                "only {buried} of {poison} poison records are in chat-dlq"
            );
            sleep(LOOK).await;
        }
    }

    /// Waits until the sentinels have another primary: before that the one that was killed would be it again.
    async fn taken_over(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + self.fault.patience();
        loop {
            let now = self.system.stack.redis_servers().primary().await;
            if now.is_ok_and(|now| now.name() != self.primary.name()) {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the sentinels have made no other server the primary"
            );
            sleep(LOOK).await;
        }
    }

    async fn ended(&mut self, server: &Server) -> anyhow::Result<()> {
        let status = server.exited(ENDING).await?;
        if !status.success() {
            let name = server.name();
            self.remarks
                .push(format!("{name} was asked to end, and did with {status}"));
        }
        Ok(())
    }

    /// Once all has settled: what became of the poison.
    pub(super) async fn look_back(&mut self) -> anyhow::Result<()> {
        if self.poison > 0 {
            let poison = self.poison;
            let buried = self.all_buried().await?;
            self.remarks.push(format!(
                "{buried} of {poison} poison records are in chat-dlq"
            ));
        }
        if self.fault.way() == Way::Tear {
            let torn = torn(self.system.stack.cables()) - self.torn_before;
            ensure!(torn > 0, "no connection to Postgres was reset");
            let unknown = self.system.cluster.classifier(0).counted(UNKNOWN).await?;
            let unknown = unknown - self.unknown_before;
            self.remarks.push(format!(
                "{torn} connections to Postgres reset in the middle of what was asked; of {unknown:.0} appends it was not known \
                 what became of them"
            ));
        }
        Ok(())
    }
}

impl Blow for Harm<'_> {
    fn name(&self) -> String {
        typed(&self.fault)
    }

    fn patience(&self) -> Duration {
        self.fault.patience()
    }

    /// Those on the gateways that it hits, else everybody.
    fn affected(&self) -> anyhow::Result<Vec<usize>> {
        let staying = self.scenario.staying();
        Ok(match (self.fault.way(), self.fault.whom()) {
            (_, Whom::Was(_)) => self
                .targets()
                .iter()
                .flat_map(|was| self.scenario.sessions_on(was.name()))
                .filter(|index| staying.contains(index))
                .collect(),
            (Way::Route, _) => vec![0],
            _ => staying,
        })
    }

    /// What is killed is dead when it returns.
    async fn strike(&mut self) -> anyhow::Result<Instant> {
        let targets = self.targets();
        // In the same moment: their gateway has had no time to do anything about it.
        self.scenario.vanish().await;
        let before = Instant::now();
        match self.fault.way() {
            Way::Kill => {
                // It waits until each is gone, which takes a broker some 50 ms.
                block_in_place(|| targets.iter().for_each(|one| one.kill()));
                return Ok(Instant::now());
            }
            Way::Term => targets.iter().for_each(|one| one.terminate()),
            Way::Pause => targets.iter().for_each(|one| one.pause()),
            Way::Cut => self.cable()?.cut(),
            Way::Flush => self.system.stack.flush_redis().await?,
            Way::Route => {
                let was_there = forget_route(self.system, self.scenario, 0).await?;
                ensure!(was_there, "session 0 has no route");
            }
            Way::Slow => {
                if let Some(slow) = &mut self.slow {
                    slow.flood();
                }
            }
            Way::Poison => self.poison = self.system.space.poison(LANES, POISON).await?,
            Way::Tear | Way::Roll => {}
        }
        Ok(before)
    }

    async fn heal(&mut self) -> anyhow::Result<()> {
        self.last().await;
        let targets = self.targets();
        match self.fault.way() {
            Way::Kill => {
                if self.fault == Fault::RedisFailover {
                    self.taken_over().await?;
                }
                start(&targets).await?;
            }
            Way::Term => {
                for one in &targets {
                    self.ended(one).await?;
                }
                start(&targets).await?;
            }
            Way::Pause => targets.iter().for_each(|one| one.resume()),
            Way::Cut => self.cable()?.heal(),
            Way::Roll => {
                for one in self.system.cluster.services() {
                    one.terminate();
                    self.ended(one).await?;
                    start(&[one]).await?;
                }
            }
            Way::Slow => {
                if let Some(slow) = self.slow.take() {
                    self.remarks.push(slow.stop(&self.system.cluster).await?);
                }
            }
            Way::Tear | Way::Flush | Way::Route | Way::Poison => {}
        }
        if self.fault.whom() == Whom::Redis {
            self.system.stack.redis_servers().followed().await?;
        }
        Ok(())
    }
}

/// The route of a session, behind everybody's back; whether it was there.
pub(crate) async fn forget_route(
    system: &System,
    scenario: &Scenario,
    session: usize,
) -> anyhow::Result<bool> {
    let user = scenario.session(session).user().get();
    let key = format!("route:{{r{}}}:{user}", user % SHARDS);
    Ok(system.space.delete_key(&key).await?)
}

fn torn(cables: &[Cable]) -> usize {
    cables.iter().map(|cable| cable.postgres().torn()).sum()
}

/// All at once, as brokers wait for each other.
async fn start(servers: &[&Server]) -> anyhow::Result<()> {
    for server in servers {
        server.start()?;
    }
    for server in servers {
        server.ready().await?;
    }
    Ok(())
}

/// Starts what has ended by itself, and says so.
pub(super) async fn restore(system: &System) -> anyhow::Result<Vec<String>> {
    let mut remarks = Vec::new();
    for one in system.processes() {
        if let Some(status) = one.ended() {
            remarks.push(format!("{} ended by itself: {status}", one.name()));
            one.start()?;
        }
    }
    for one in system.processes() {
        one.ready()
            .await
            .with_context(|| format!("{} does not come back", one.name()))?;
    }
    Ok(remarks)
}
