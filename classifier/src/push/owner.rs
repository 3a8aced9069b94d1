//! Owns partitions of `chat-push`: says that this worker lives, takes free ones up to its fair share,
//! hands over what is too much, and gives everything back when the process stops. The leases are
//! Postgres's, and who takes what is decided as for lanes ([`routing::decide`]).
//!
//! Not by a consumer group of Kafka's: that would find out about a worker that died only after its
//! session's six seconds, and stop all others meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::UserId;
use routing::decide::{Action, Me, Member, Slot, Table, Want, decide};
use service::lifecycle::chain;
use service::readiness::Condition;
use store::PushTable;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::tenure::{Ground, Tenure};
use super::told::Item;
use crate::pipeline::context::{LEASE, RENEWAL};
use crate::ports::{Publish, Routes};

/// A partition that this process holds, or is about to let go.
struct Own {
    epoch: i64,
    leave: CancellationToken,
    lost: CancellationToken,
}

/// The owner of this process's partitions.
pub(super) struct Owner<R, P> {
    ground: Arc<Ground<R, P>>,
    /// There are partitions from 0 to below this one.
    count: i32,
    to: mpsc::Sender<(UserId, Item)>,
    ready: Option<Condition>,
    own: BTreeMap<i32, Own>,
    highest: i64,
    until: watch::Sender<Instant>,
    tenures: JoinSet<i32>,
    /// When partitions were renewed last, if any were held since.
    renewed: Option<Instant>,
}

impl<R: Routes, P: Publish> Owner<R, P> {
    /// An owner without partitions. `ready` is met while the table of partitions can be read.
    pub(super) fn new(
        ground: Ground<R, P>,
        count: i32,
        to: mpsc::Sender<(UserId, Item)>,
        ready: Option<Condition>,
    ) -> Self {
        Self {
            ground: Arc::new(ground),
            count,
            to,
            ready,
            own: BTreeMap::new(),
            highest: 0,
            until: watch::Sender::new(Instant::now()),
            tenures: JoinSet::new(),
            renewed: None,
        }
    }

    /// Owns partitions until the process stops, then releases them.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut renewal = tokio::time::interval(RENEWAL);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping = false;
        while !(stopping && self.own.is_empty()) {
            tokio::select! {
                biased;
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    self.own.values().for_each(|own| own.leave.cancel());
                }
                Some(ended) = self.tenures.join_next() => match ended {
                    Ok(number) => self.forget(number),
                    // A panic is a defect: the process ends, and others take over.
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                // While deliveries that have begun are waited for, too: their partitions stay held.
                _ = renewal.tick() => self.turn(stopping).await,
            }
        }
        let left = self.ground.store.push_leave(&self.ground.name).await;
        if let Err(error) = left {
            tracing::warn!(
                error = chain(&error),
                "others count this worker until its lease ends"
            );
        }
    }

    fn forget(&mut self, number: i32) {
        self.own.remove(&number);
        self.tell();
    }

    fn tell(&self) {
        let held = i64::try_from(self.own.len()).unwrap_or(i64::MAX);
        self.ground.shared.metrics.partitions.set(held);
    }

    /// Renews, looks at the table once, and starts what follows.
    async fn turn(&mut self, stopping: bool) {
        let held: Vec<(i32, i64)> = self.own.iter().map(|(n, own)| (*n, own.epoch)).collect();
        let (asked, read_at) = (Instant::now(), routing::since_boot());
        let ground = Arc::clone(&self.ground);
        let table = match ground
            .store
            .push_heartbeat(&ground.name, LEASE, &held)
            .await
        {
            Ok(table) => table,
            Err(error) => {
                ground.shared.metrics.store_failures.inc();
                tracing::warn!(error = chain(&error), "partitions were not renewed");
                if let Some(ready) = &self.ready {
                    ready.miss("the table of partitions can't be read");
                }
                return;
            }
        };
        self.until.send_replace(asked + LEASE);
        let before = self.renewed.take();
        // Without partitions nothing was renewed, and nothing is late.
        if !held.is_empty() {
            if let Some(before) = before {
                let since = asked.saturating_duration_since(before).as_secs_f64();
                ground.shared.metrics.renew_seconds.observe(since);
            }
            self.renewed = Some(asked);
        }
        self.drop_lost(&table);
        if !stopping {
            let me = Me {
                name: &ground.name,
                held: &held,
                highest: self.highest,
                want: Want::Share,
            };
            let table = self.as_table(&table, read_at);
            for action in decide(&table, &me, routing::since_boot()) {
                match action {
                    Action::Release(number) => {
                        if let Some(own) = self.own.get(&number) {
                            own.leave.cancel();
                        }
                    }
                    Action::Claim(number) => self.claim(number).await,
                }
            }
        }
        self.tell();
        if let Some(ready) = &self.ready {
            ready.meet();
        }
    }

    /// A partition whose row names somebody else, or another claim, is not ours.
    fn drop_lost(&self, table: &PushTable) {
        for row in &table.partitions {
            let Some(own) = self.own.get(&row.partition) else {
                continue;
            };
            let mine = row.owner.as_ref() == Some(&self.ground.name) && row.epoch == own.epoch;
            // One that is being released may be free already.
            let freed = own.leave.is_cancelled() && row.owner.is_none();
            if mine || freed || own.lost.is_cancelled() {
                continue;
            }
            own.lost.cancel();
            self.ground.shared.metrics.partitions_lost.inc();
            let (partition, owner) = (row.partition, &row.owner);
            tracing::warn!(partition, ?owner, "somebody else reads a partition of ours");
        }
    }

    fn as_table(&self, table: &PushTable, read_at: std::time::Duration) -> Table<i32> {
        let members = table.members.iter().map(|member| Member {
            name: member.name.clone(),
            ttl_left: member.ttl_left,
        });
        let rows = table.partitions.iter();
        let slots = rows.filter(|row| row.partition < self.count);
        let slots = slots.map(|row| Slot {
            partition: row.partition,
            owner: row.owner.clone(),
            claim: row.epoch,
            ttl_left: row.ttl_left,
        });
        Table {
            read_at,
            members: members.collect(),
            slots: slots.collect(),
        }
    }

    async fn claim(&mut self, number: i32) {
        if self.own.contains_key(&number) {
            return;
        }
        let ground = &self.ground;
        let epoch = match ground.store.push_claim(&ground.name, number, LEASE).await {
            Ok(Some(epoch)) => epoch,
            // Somebody was faster.
            Ok(None) => return,
            Err(error) => {
                ground.shared.metrics.store_failures.inc();
                tracing::warn!(partition = number, error = chain(&error), "not claimed");
                return;
            }
        };
        self.highest = self.highest.max(epoch);
        let own = Own {
            epoch,
            leave: CancellationToken::new(),
            lost: CancellationToken::new(),
        };
        let tenure = Tenure {
            ground: Arc::clone(ground),
            number,
            epoch,
            leave: own.leave.clone(),
            lost: own.lost.clone(),
            until: self.until.subscribe(),
            to: self.to.clone(),
        };
        self.own.insert(number, own);
        tracing::info!(partition = number, epoch, "a partition is read");
        self.tenures.spawn(async move {
            tenure.run().await;
            number
        });
    }
}
