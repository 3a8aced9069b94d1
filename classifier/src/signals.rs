//! Typing and read marks: from `chat-signal` to the members who are connected. They have no seq and
//! no part in I5; what is lost of them is lost. What is no signal goes to `chat-dlq` (I11).
//!
//! Read marks are stored first (highest wins, never above the head), coalesced: of many marks of one
//! user in one room only the highest of a window is written.

mod window;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, select_all};
use protocol::{DeliveryHeaders, Lane, RoomId, ServerFrame, UserId};
use service::clock::Clock;
use store::{StoreError, StoredRoom};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, timeout_at};

use crate::pipeline::backoff::{Backoff, Stopped};
use crate::pipeline::burial::burial;
use crate::pipeline::context::Context;
use crate::pipeline::queue::{acknowledged, queue_all};
use crate::ports::{
    Feed, Incoming, Lanes, Ledger, LogError, Outgoing, Outside, Publish, Sink, Source, Whereabouts,
};
use window::{Poison, Window};

/// How long signals are collected before they are stored and sent together.
const WINDOW: Duration = Duration::from_millis(50);
/// Between two tries to open what can't be read.
const AGAIN: Duration = Duration::from_secs(1);
/// Between two commits of where to read on.
const COMMITS: Duration = Duration::from_secs(1);

type FeedOf<O> = <<O as Outside>::Lanes as Lanes>::Feed;

/// The task for typing and read marks of all of this process's lanes.
pub struct Signals<O: Outside> {
    context: Arc<Context<O>>,
    clock: Clock,
    /// The lanes that this process owns.
    lanes: watch::Receiver<BTreeSet<Lane>>,
    feeds: BTreeMap<Lane, FeedOf<O>>,
    /// The next offset of each lane, behind what is done.
    next: BTreeMap<Lane, i64>,
    commits: Instant,
}

/// A frame for some users.
struct Frame {
    room: RoomId,
    frame: ServerFrame,
    to: Vec<UserId>,
}

impl<O: Outside> Signals<O> {
    /// A task for the lanes that `lanes` says, as it says them.
    pub fn new(
        context: Arc<Context<O>>,
        clock: Clock,
        lanes: watch::Receiver<BTreeSet<Lane>>,
    ) -> Self {
        Self {
            context,
            clock,
            lanes,
            feeds: BTreeMap::new(),
            next: BTreeMap::new(),
            commits: Instant::now(),
        }
    }

    /// Works until the owner is gone.
    pub async fn run(mut self) {
        let mut again = tokio::time::interval(AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let signal = tokio::select! {
                biased;
                changed = self.lanes.changed() => match changed {
                    Ok(()) => None,
                    Err(_) => return,
                },
                _ = again.tick() => None,
                signal = first(&mut self.feeds) => Some(signal),
            };
            match signal {
                None => self.follow().await,
                Some((lane, record)) => {
                    let window = self.collect(lane, record).await;
                    self.finish(window).await;
                }
            }
        }
    }

    /// Reads the lanes that are owned, and no others. One that can't be opened is tried again.
    async fn follow(&mut self) {
        let owned = self.lanes.borrow_and_update().clone();
        self.feeds.retain(|lane, _| owned.contains(lane));
        self.next.retain(|lane, _| owned.contains(lane));
        let missing = owned.iter().filter(|lane| !self.feeds.contains_key(lane));
        let opened = join_all(missing.map(|lane| open(&self.context, *lane))).await;
        for (lane, feed) in opened {
            match feed {
                Ok(feed) => {
                    self.feeds.insert(lane, feed);
                }
                Err(error) => tracing::warn!(%lane, %error, "a lane's signals can't be read"),
            }
        }
    }

    /// What comes within a window after the first signal.
    async fn collect(&mut self, lane: Lane, record: Result<Incoming, LogError>) -> Window {
        let mut window = Window::default();
        self.take(&mut window, lane, record);
        let end = Instant::now() + WINDOW;
        while !window.is_full() {
            let Ok((lane, record)) = timeout_at(end, first(&mut self.feeds)).await else {
                break;
            };
            self.take(&mut window, lane, record);
        }
        window
    }

    fn take(&mut self, window: &mut Window, lane: Lane, record: Result<Incoming, LogError>) {
        match record {
            Ok(record) => {
                self.next.insert(lane, record.offset + 1);
                window.take(lane, record, self.clock.wall_ms());
            }
            Err(error) => {
                // The lane's commands go on; its signals are opened again soon.
                tracing::warn!(%lane, %error, "a lane's signals can't be read");
                self.feeds.remove(&lane);
            }
        }
    }

    /// Stores marks, sends what is to be seen, notes where to read on.
    async fn finish(&mut self, window: Window) {
        if let Some(frames) = self.frames(&window).await {
            self.send(frames).await;
        }
        if bury(&self.context, &window.poison).await.is_err() {
            // Not noted as read: buried when they are read again.
            return;
        }
        let count = |outcome, n| {
            let counter = self.context.metrics.signals.with_label_values(&[outcome]);
            counter.inc_by(n);
        };
        count("stale", window.stale);
        count(
            "undecodable",
            u64::try_from(window.poison.len()).unwrap_or(0),
        );
        count("coalesced", window.coalesced);
        if self.commits.elapsed() >= COMMITS {
            self.commits = Instant::now();
            let next: Vec<(Lane, i64)> = self.next.iter().map(|(l, n)| (*l, *n)).collect();
            if let Err(error) = self.context.source.commit(Source::Signals, &next).await {
                self.context.metrics.commit_failures.inc();
                tracing::warn!(%error, "offsets of signals were not committed");
            }
        }
    }

    /// What members get to see: the marks that rose, and who is typing. Only members are heard, and
    /// only members hear them (I12). None: Postgres can't be asked.
    async fn frames(&mut self, window: &Window) -> Option<Vec<Frame>> {
        let (context, ledger) = (&*self.context, &self.context.ledger);
        let marks: Vec<_> = window.marks().collect();
        let rose = match marks.is_empty() {
            true => Vec::new(),
            // Asked again after that, the store says that none rose: they are kept meanwhile.
            false => repeated(context, || ledger.raise_marks(&marks)).await?,
        };
        let without_effect = marks.len().saturating_sub(rose.len());
        let count = context
            .metrics
            .signals
            .with_label_values(&["without_effect"]);
        count.inc_by(u64::try_from(without_effect).unwrap_or(0));
        let mut ids: HashSet<RoomId> = rose.iter().map(|mark| mark.room).collect();
        ids.extend(window.typing().map(|(room, _)| room));
        if ids.is_empty() {
            return Some(Vec::new());
        }
        let ids: Vec<RoomId> = ids.into_iter().collect();
        let rooms = repeated(context, || ledger.load_rooms(&ids)).await?;
        let members = |room: RoomId| rooms.get(&room).map(members).unwrap_or_default();
        let mut frames = Vec::new();
        for mark in rose {
            let (room, user, upto) = (mark.room, mark.user, mark.upto);
            let frame = ServerFrame::Read { room, user, upto };
            let to = members(room);
            frames.push(Frame { room, frame, to });
        }
        for (room, user) in window.typing() {
            let mut to = members(room);
            if !to.contains(&user) {
                continue;
            }
            to.retain(|member| *member != user);
            let frame = ServerFrame::Typing { room, user };
            frames.push(Frame { room, frame, to });
        }
        Some(frames)
    }

    async fn send(&mut self, frames: Vec<Frame>) {
        let mut users: Vec<UserId> = frames.iter().flat_map(|f| f.to.iter().copied()).collect();
        users.sort_unstable();
        users.dedup();
        if users.is_empty() {
            return;
        }
        let homes = self.context.homes_of(&users).await;
        let mut acks = Vec::new();
        for frame in frames {
            let bytes = frame.frame.encode();
            self.context
                .metrics
                .signals
                .with_label_values(&["sent"])
                .inc();
            for (sink, users) in by_sink(&frame.to, &homes) {
                let headers = DeliveryHeaders {
                    blind: sink == Sink::Broadcast,
                    ..DeliveryHeaders::signal(frame.room, users)
                };
                let queued = self.context.publish.publish(&Outgoing {
                    sink,
                    key: None,
                    headers: headers.encode(),
                    payload: Some(bytes.clone()),
                    trace: None,
                });
                match queued {
                    Ok(ack) => acks.push(ack),
                    // Waited for, it would be no news any more.
                    Err(error) => tracing::debug!(%error, "a signal was dropped"),
                }
            }
        }
        for ack in acks {
            // Waited for so that a slow Kafka slows the reading; not repeated.
            if let Err(error) = ack.await {
                tracing::debug!(%error, "a signal was not delivered");
            }
        }
    }
}

/// Sends what is no signal to `chat-dlq`.
async fn bury<O: Outside>(context: &Context<O>, poison: &[Poison]) -> Result<(), Stopped> {
    let topic = context.topics.signal();
    let letters = poison.iter().map(|Poison { lane, raw, reason }| {
        context.metrics.dead_letter(*reason);
        burial(topic, *lane, raw, *reason)
    });
    let letters: Vec<Outgoing> = letters.collect();
    let queued = queue_all(context, letters).await?;
    acknowledged(context, queued).await
}

/// Asks Postgres until it answers. None: it refuses, or the process stops.
async fn repeated<O: Outside, T, A: Future<Output = Result<T, StoreError>>>(
    context: &Context<O>,
    mut ask: impl FnMut() -> A,
) -> Option<T> {
    let mut backoff = Backoff::default();
    loop {
        match ask().await {
            Ok(answer) => return Some(answer),
            Err(error) => {
                context.metrics.read_failures.inc();
                tracing::warn!(%error, kind = error.label(), "signals wait for Postgres");
                if !error.is_transient() || backoff.wait(&context.stop).await.is_err() {
                    return None;
                }
            }
        }
    }
}

/// Where the group left off, else from the first signal there is.
async fn open<O: Outside>(context: &Context<O>, lane: Lane) -> (Lane, Result<FeedOf<O>, LogError>) {
    let feed = async {
        let committed = context.source.committed(Source::Signals, lane).await?;
        let (low, high) = context.source.bounds(Source::Signals, lane).await?;
        let start = committed.unwrap_or(low).clamp(low, high.max(low));
        context.source.add(Source::Signals, lane, start).await
    };
    (lane, feed.await)
}

fn members(room: &StoredRoom) -> Vec<UserId> {
    match room.deleted {
        Some(_) => Vec::new(),
        None => room.members.iter().map(|(user, ..)| *user).collect(),
    }
}

/// Who is where; those of whom nothing is known may be anywhere.
fn by_sink(users: &[UserId], homes: &Whereabouts) -> HashMap<Sink, Vec<UserId>> {
    let mut by_sink: HashMap<Sink, Vec<UserId>> = HashMap::new();
    for user in users {
        let Some(homes) = homes.of(*user) else {
            by_sink.entry(Sink::Broadcast).or_default().push(*user);
            continue;
        };
        for home in homes {
            by_sink.entry(Sink::Home(*home)).or_default().push(*user);
        }
    }
    by_sink
}

/// The first signal of any lane. Without lanes, waits for ever: only an order changes that.
async fn first<F: Feed>(feeds: &mut BTreeMap<Lane, F>) -> (Lane, Result<Incoming, LogError>) {
    if feeds.is_empty() {
        return std::future::pending().await;
    }
    let waiting = feeds.iter_mut().map(|(lane, feed)| {
        let lane = *lane;
        Box::pin(async move { (lane, feed.recv().await) })
    });
    select_all(waiting).await.0
}
