//! Owns lanes: says that this classifier lives, renews its lanes, takes free ones up to its fair
//! share, hands over what is too much, and gives everything back when the process stops (§5, §6).

mod adopt;
mod leave;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use protocol::Lane;
use routing::decide::{Action, Me, Want, decide};
use service::readiness::Condition;
use store::{HeldLane, LaneTable};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::pipeline::context::{Context, LEASE, RENEWAL};
use crate::pipeline::progress::Progress;
use crate::pipeline::worker::Order;
use crate::ports::{Lanes, Ledger, Outside, Source};

/// Between two wake-ups by lost lanes: a lane that is lost again at once must not spin.
const PAUSE: Duration = Duration::from_millis(50);
/// Between two commits of offsets for lag tools.
const COMMITS: Duration = Duration::from_secs(3);

type FeedOf<O> = <<O as Outside>::Lanes as Lanes>::Feed;

/// A lane that this process owns.
struct Own {
    progress: Arc<Progress>,
    leaving: bool,
}

/// A lane that is given up: told by the task that gave it up.
struct Left {
    lane: Lane,
    epoch: i64,
}

/// The owner of this process's lanes. A lane belongs to worker number `lane` modulo their count.
pub struct Owner<O: Outside> {
    context: Arc<Context<O>>,
    workers: Vec<mpsc::Sender<Order<FeedOf<O>>>>,
    signals: watch::Sender<BTreeSet<Lane>>,
    own: BTreeMap<Lane, Own>,
    /// Lost though the row may still name this process: claimed anew as soon as it is seen to.
    lost: BTreeMap<Lane, i64>,
    highest: i64,
    wake: Arc<Notify>,
    left: (mpsc::Sender<Left>, mpsc::Receiver<Left>),
    /// Met while the table can be read.
    ready: Option<Condition>,
}

impl<O: Outside> Owner<O> {
    /// An owner without lanes. Orders go to the workers; which lanes are owned is told to `signals`.
    pub fn new(
        context: Arc<Context<O>>,
        workers: Vec<mpsc::Sender<Order<FeedOf<O>>>>,
        signals: watch::Sender<BTreeSet<Lane>>,
    ) -> Self {
        let bound = usize::try_from(context.lanes).unwrap_or(1).max(1);
        Self {
            context,
            workers,
            signals,
            own: BTreeMap::new(),
            lost: BTreeMap::new(),
            highest: 0,
            wake: Arc::new(Notify::new()),
            left: mpsc::channel(bound),
            ready: None,
        }
    }

    /// Meets `condition` while the lane table can be read.
    #[must_use]
    pub fn ready_when(mut self, condition: Condition) -> Self {
        self.ready = Some(condition);
        self
    }

    /// Owns lanes until the process stops, then releases them. Workers end with it.
    pub async fn run(mut self) {
        let stop = self.context.stop.clone();
        let wake = Arc::clone(&self.wake);
        let mut renewal = tokio::time::interval(RENEWAL);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut commits = Instant::now() + COMMITS;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(left) = self.left.1.recv() => {
                    self.forget(&left);
                    continue;
                }
                () = wake.notified() => tokio::time::sleep(PAUSE).await,
                _ = renewal.tick() => {}
            }
            if self.turn().await && Instant::now() >= commits {
                commits = Instant::now() + COMMITS;
                self.commit_offsets().await;
            }
        }
        self.leave_all().await;
    }

    /// Looks at the table once and does what follows; whether the table could be read.
    async fn turn(&mut self) -> bool {
        self.drop_lost();
        let seen: BTreeMap<Lane, i64> = self
            .own
            .iter()
            .map(|(lane, own)| (*lane, own.progress.applied()))
            .collect();
        let held: Vec<HeldLane> = self
            .own
            .values()
            .filter(|own| !own.progress.is_lost())
            .map(|own| HeldLane {
                lane: own.progress.lane,
                epoch: own.progress.epoch,
                routed: own.progress.routed().min(own.progress.applied()),
            })
            .collect();
        let read_at = routing::since_boot();
        let ledger = &self.context.ledger;
        let table = match ledger.heartbeat(&self.context.name, LEASE, &held).await {
            Ok(table) => table,
            Err(error) => {
                self.context.metrics.read_failures.inc();
                tracing::warn!(%error, kind = error.label(), "lanes were not renewed");
                self.unready("the lane table can't be read");
                return false;
            }
        };
        self.check(&table, &seen);
        let claimed = self.act(&table, read_at).await;
        self.tell_signals();
        let count = i64::try_from(self.own.len()).unwrap_or(i64::MAX);
        self.context.metrics.lanes.set(count);
        match &self.ready {
            Some(ready) if claimed => ready.meet(),
            Some(_) => self.unready("Kafka does not answer"),
            None => {}
        }
        true
    }

    /// Typing and read marks are read in the same lanes; behind or before the commands by a moment.
    fn tell_signals(&self) {
        let owned = self.own.iter().filter(|(_, own)| !own.leaving);
        let lanes: BTreeSet<Lane> = owned.map(|(lane, _)| *lane).collect();
        self.signals.send_if_modified(|told| {
            let news = *told != lanes;
            *told = lanes;
            news
        });
    }

    /// A held lane whose row says otherwise is lost: another owner or epoch, or an `applied` that
    /// this process did not write ("renewal returns `applied`: other than expected means the same").
    fn check(&mut self, table: &LaneTable, seen: &BTreeMap<Lane, i64>) {
        for row in &table.lanes {
            let Some(own) = self.own.get(&row.lane) else {
                continue;
            };
            let progress = &own.progress;
            let mine = row.owner.as_deref() == Some(self.context.name.as_str())
                && row.epoch == progress.epoch;
            let expected = seen
                .get(&row.lane)
                .is_some_and(|before| (*before..=progress.ahead()).contains(&row.applied));
            let as_left = mine && expected;
            if !(progress.is_lost() || own.leaving || as_left) {
                tracing::warn!(
                    lane = %row.lane, owner = ?row.owner, epoch = row.epoch, applied = row.applied,
                    held_epoch = progress.epoch, held_applied = progress.applied(),
                    "a lane is not as this process left it"
                );
                self.context.metrics.lanes_lost.inc();
                progress.lose();
            }
        }
        self.drop_lost();
    }

    /// Releases and claims what the decision core says; false if Kafka can't be asked about lanes.
    async fn act(&mut self, table: &LaneTable, read_at: Duration) -> bool {
        let held: Vec<(Lane, i64)> = self
            .own
            .iter()
            .filter(|(_, own)| !own.progress.is_lost())
            .map(|(lane, own)| (*lane, own.progress.epoch))
            .collect();
        let me = Me {
            name: &self.context.name,
            held: &held,
            highest: self.highest,
            want: Want::Share,
        };
        let actions = decide(&table::of(table, read_at), &me, routing::since_boot());
        let mut wanted: BTreeSet<Lane> = self.lost_but_named(table);
        for action in actions {
            match action {
                Action::Release(lane) => self.leave(lane, true),
                Action::Claim(lane) if !self.own.contains_key(&lane) => {
                    wanted.insert(lane);
                }
                Action::Claim(_) => {}
            }
        }
        self.claim(wanted).await
    }

    /// Lanes that were lost by a fence, an unknown outcome or a feed, and whose row still names this
    /// process under the epoch that it lost: nobody else will claim them before they lapse.
    fn lost_but_named(&mut self, table: &LaneTable) -> BTreeSet<Lane> {
        let lost = std::mem::take(&mut self.lost);
        let rows = table.lanes.iter();
        rows.filter(|row| {
            row.owner.as_deref() == Some(self.context.name.as_str())
                && lost.get(&row.lane) == Some(&row.epoch)
                && !self.own.contains_key(&row.lane)
        })
        .map(|row| row.lane)
        .collect()
    }

    fn worker(&self, lane: Lane) -> Option<&mpsc::Sender<Order<FeedOf<O>>>> {
        let number = usize::try_from(lane.0).unwrap_or(0);
        self.workers.get(number % self.workers.len().max(1))
    }

    fn unready(&self, reason: &str) {
        if let Some(ready) = &self.ready {
            ready.miss(reason);
        }
    }

    async fn commit_offsets(&self) {
        let next: Vec<(Lane, i64)> = self
            .own
            .iter()
            .filter(|(_, own)| !own.progress.is_lost() && own.progress.routed() >= 0)
            .map(|(lane, own)| (*lane, own.progress.routed() + 1))
            .collect();
        let committed = self.context.source.commit(Source::Commands, &next).await;
        if let Err(error) = committed {
            self.context.metrics.commit_failures.inc();
            tracing::warn!(%error, "offsets were not committed for lag tools");
        }
    }
}
