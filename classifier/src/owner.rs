//! Owns lanes: says that this classifier lives, renews its lanes, takes free ones up to its fair
//! share, hands over what is too much, and gives everything back when the process stops
//! (docs/architecture.md, "Who owns what").
//!
//! The renewal is the only thing that its timer waits for. Whatever asks Kafka (claims, offsets) or
//! waits for a worker is a task of its own that reports back: a broker that is away must not cost
//! lanes that are well (I7). Between two renewals the table is only read, often, so that a lane that
//! somebody gives back waits for nobody.

mod adopt;
mod free;
mod leave;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use protocol::Lane;
use routing::decide::{Action, Me, Want, decide};
use service::readiness::Condition;
use store::{Claim, HeldLane, LaneTable};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
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

/// A lane that this process owns, or is about to.
enum Own {
    /// Asked for; whether it is claimed is not known.
    Claiming,
    /// Claimed, and renewed from here on; where to read it from is being found out. With the epoch
    /// of this process's claim that it follows, if nobody had the lane between.
    Opening(Claim, Option<i64>),
    /// With its worker.
    Held(Arc<Progress>),
    /// Its worker lets go of it.
    Leaving(Arc<Progress>),
}

/// What the tasks that take and give up lanes tell the owner.
enum Report<F> {
    /// Whether Kafka has said what claims need.
    Asked(bool),
    /// The row is this process's.
    Claimed(Lane, Claim),
    /// The claim's lane can be read.
    Opened(Arc<Progress>, F),
    /// Somebody else has the lane, or it can't be read and was given back.
    NotTaken(Lane),
    /// The lane is given up.
    Left(Lane, i64),
}

type Reports<F> = (mpsc::Sender<Report<F>>, mpsc::Receiver<Report<F>>);

/// The owner of this process's lanes. A lane belongs to worker number `lane` modulo their count.
pub struct Owner<O: Outside> {
    context: Arc<Context<O>>,
    workers: Vec<mpsc::Sender<Order<FeedOf<O>>>>,
    signals: watch::Sender<BTreeSet<Lane>>,
    own: BTreeMap<Lane, Own>,
    /// Lost though the row may still name this process, by the epoch that was lost: claimed anew as
    /// soon as it is seen to, until that has succeeded or the row says otherwise.
    lost: BTreeMap<Lane, i64>,
    highest: i64,
    wake: Arc<Notify>,
    reports: Reports<FeedOf<O>>,
    /// Whether Kafka answered when it was last asked about lanes.
    answers: bool,
    /// The commit of offsets under way, and when the next one is due.
    commit: (Option<JoinHandle<()>>, Instant),
    /// Met while the table can be read and Kafka answers.
    ready: Option<Condition>,
    /// When lanes were renewed last, if any were held since.
    renewed: Option<Instant>,
    /// Between two renewals.
    every: Duration,
}

impl Own {
    /// What a renewal says of it; nothing of a claim that is not known or over.
    fn renewal(&self, lane: Lane) -> Option<HeldLane> {
        let (epoch, routed) = match self {
            Self::Claiming => return None,
            Self::Opening(claim, _) => (claim.epoch, claim.routed.min(claim.applied)),
            Self::Held(progress) | Self::Leaving(progress) => {
                if progress.is_lost() {
                    return None;
                }
                (progress.epoch, progress.routed().min(progress.applied()))
            }
        };
        Some(HeldLane {
            lane,
            epoch,
            routed,
        })
    }

    /// With its worker, for as long as nothing happens.
    fn held(&self) -> Option<&Arc<Progress>> {
        match self {
            Self::Held(progress) => Some(progress),
            Self::Claiming | Self::Opening(..) | Self::Leaving(_) => None,
        }
    }

    /// What is known of its progress here.
    fn progress(&self) -> Option<&Arc<Progress>> {
        match self {
            Self::Held(progress) | Self::Leaving(progress) => Some(progress),
            Self::Claiming | Self::Opening(..) => None,
        }
    }

    fn is_being_taken(&self) -> bool {
        matches!(self, Self::Claiming | Self::Opening(..))
    }
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
            reports: mpsc::channel(bound),
            answers: true,
            commit: (None, Instant::now() + COMMITS),
            ready: None,
            renewed: None,
            every: RENEWAL,
        }
    }

    /// Meets `condition` while the lane table can be read and Kafka answers; at first when the first
    /// lanes are taken.
    #[must_use]
    pub fn ready_when(mut self, condition: Condition) -> Self {
        self.ready = Some(condition);
        self
    }

    /// Renews, and looks at the table, so often, instead of each [`RENEWAL`].
    #[must_use]
    pub fn renewing_each(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    /// Owns lanes until the process stops, then releases them. Workers end with it.
    pub async fn run(mut self) {
        let stop = self.context.stop.clone();
        let wake = Arc::clone(&self.wake);
        let mut renewal = tokio::time::interval(self.every);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let freed = Arc::new(Notify::new());
        let mut watching = pin!(free::watch(Arc::clone(&self.context), Arc::clone(&freed)));
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(report) = self.reports.1.recv() => {
                    self.hear(report);
                    continue;
                }
                () = wake.notified() => tokio::time::sleep(PAUSE).await,
                () = freed.notified() => {}
                never = &mut watching => match never {},
                _ = renewal.tick() => {}
            }
            if self.turn().await {
                self.commit_offsets();
            }
        }
        self.leave_all().await;
    }

    /// Looks at the table once and starts what follows; whether the table could be read.
    async fn turn(&mut self) -> bool {
        self.drop_lost();
        let own = self.own.iter();
        let seen: BTreeMap<Lane, i64> = own
            .clone()
            .filter_map(|(lane, own)| Some((*lane, own.held()?.applied())))
            .collect();
        let held: Vec<HeldLane> = own.filter_map(|(lane, own)| own.renewal(*lane)).collect();
        let read_at = routing::since_boot();
        let asked = Instant::now();
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
        self.renewed(asked, !held.is_empty());
        self.check(&table, &seen);
        self.act(&table, read_at);
        self.tell();
        true
    }

    /// Notes a renewal that was asked for at that time, and how long after the one before. Without lanes
    /// nothing was renewed, and nothing is late.
    fn renewed(&mut self, asked: Instant, any: bool) {
        let before = self.renewed.take();
        if any {
            self.renewed = Some(asked);
            if let Some(before) = before {
                let since = asked.saturating_duration_since(before).as_secs_f64();
                self.context.metrics.lane_renew_seconds.observe(since);
            }
        }
    }

    fn hear(&mut self, report: Report<FeedOf<O>>) {
        match report {
            Report::Asked(answered) => {
                self.answers = answered;
                if !answered {
                    self.unready("Kafka does not answer");
                }
            }
            Report::Claimed(lane, claim) => {
                self.highest = self.highest.max(claim.epoch);
                let follows = self.lost.remove(&lane);
                self.own.insert(lane, Own::Opening(claim, follows));
            }
            Report::Opened(progress, feed) => self.hand_to_worker(progress, feed),
            Report::NotTaken(lane) => {
                self.own.remove(&lane);
            }
            Report::Left(lane, epoch) => self.forget(lane, epoch),
        }
        self.tell();
    }

    /// Tells everybody which lanes this process has.
    fn tell(&self) {
        self.tell_signals();
        let claimed = |own: &&Own| !matches!(own, Own::Claiming);
        let count = self.own.values().filter(claimed).count();
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.context.metrics.lanes.set(count);
        let held = self.own.values().filter_map(Own::progress);
        self.context.metrics.behind.hold(held.cloned());
        let at_rest = !self.own.values().any(Own::is_being_taken);
        if let (Some(ready), true) = (&self.ready, self.answers && at_rest) {
            ready.meet();
        }
    }

    /// Typing and read marks are read in the same lanes; behind or before the commands by a moment.
    fn tell_signals(&self) {
        let owned = self.own.iter().filter(|(_, own)| own.held().is_some());
        let lanes: BTreeSet<Lane> = owned.map(|(lane, _)| *lane).collect();
        self.signals.send_if_modified(|told| {
            let news = *told != lanes;
            *told = lanes;
            news
        });
    }

    /// A lane whose row says otherwise is lost: another owner or epoch, or an `applied` that this
    /// process did not write ("renewal returns `applied`: other than expected means the same").
    fn check(&mut self, table: &LaneTable, seen: &BTreeMap<Lane, i64>) {
        for row in &table.lanes {
            let Some(own) = self.own.get_mut(&row.lane) else {
                continue;
            };
            let mine = |epoch| row.owner.as_ref() == Some(&self.context.name) && row.epoch == epoch;
            let epoch = match own {
                Own::Claiming | Own::Leaving(_) => continue,
                Own::Opening(claim, _) => {
                    if mine(claim.epoch) {
                        continue;
                    }
                    let epoch = claim.epoch;
                    // What its task still reports of that claim is not listened to.
                    *own = Own::Claiming;
                    epoch
                }
                Own::Held(progress) => {
                    let expected = seen
                        .get(&row.lane)
                        .is_some_and(|before| (*before..=progress.ahead()).contains(&row.applied));
                    if progress.is_lost() || mine(progress.epoch) && expected {
                        continue;
                    }
                    progress.lose();
                    progress.epoch
                }
            };
            tracing::warn!(
                lane = %row.lane, owner = ?row.owner, epoch = row.epoch, applied = row.applied,
                held_epoch = epoch, held_applied = seen.get(&row.lane),
                "a lane is not as this process left it"
            );
            self.context.metrics.lanes_lost.inc();
        }
        self.drop_lost();
    }

    /// Starts to release and to claim what the decision core says.
    fn act(&mut self, table: &LaneTable, read_at: Duration) {
        let held: Vec<(Lane, i64)> = self
            .own
            .iter()
            .filter_map(|(lane, own)| Some((*lane, own.renewal(*lane)?.epoch)))
            .collect();
        let me = Me {
            name: &self.context.name,
            held: &held,
            highest: self.highest,
            want: Want::Share,
        };
        let actions = decide(&table::of(table, read_at), &me, routing::since_boot());
        let mut wanted = self.lost_but_named(table);
        for action in actions {
            match action {
                Action::Release(lane) => self.leave(lane, true),
                Action::Claim(lane) => {
                    wanted.insert(lane);
                }
            }
        }
        wanted.retain(|lane| !self.own.contains_key(lane));
        self.claim(wanted);
    }

    /// Lanes that were lost by a fence, an unknown outcome or a feed, and whose row still names this
    /// process under the epoch that it lost: nobody else will claim them before they lapse.
    fn lost_but_named(&mut self, table: &LaneTable) -> BTreeSet<Lane> {
        let name = &self.context.name;
        self.lost.retain(|lane, epoch| {
            let mut rows = table.lanes.iter();
            rows.any(|row| {
                row.lane == *lane && row.owner.as_ref() == Some(name) && row.epoch == *epoch
            })
        });
        self.lost.keys().copied().collect()
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

    /// Notes how far lanes are routed, in a task of its own: without a group coordinator it takes
    /// many seconds. At most one at a time.
    fn commit_offsets(&mut self) {
        let (under_way, due) = &self.commit;
        let busy = under_way.as_ref().is_some_and(|task| !task.is_finished());
        if busy || Instant::now() < *due {
            return;
        }
        let held = self.own.iter();
        let next: Vec<(Lane, i64)> = held
            .filter_map(|(lane, own)| Some((*lane, own.renewal(*lane)?.routed)))
            .filter(|(_, routed)| *routed >= 0)
            .map(|(lane, routed)| (lane, routed + 1))
            .collect();
        let context = Arc::clone(&self.context);
        let task = tokio::spawn(async move {
            let committed = context.source.commit(Source::Commands, &next).await;
            if let Err(error) = committed {
                context.metrics.commit_failures.inc();
                tracing::warn!(%error, "offsets were not committed for lag tools");
            }
        });
        self.commit = (Some(task), Instant::now() + COMMITS);
    }
}
