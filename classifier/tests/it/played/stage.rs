//! The whole pipeline over played servers.

use std::sync::Arc;
use std::time::Duration;

use classifier::metrics::ClassifierMetrics;
use classifier::pipeline::context::Context;
use classifier::ports::{Outside, Sink};
use classifier::room::Rules;
use classifier::serve;
use protocol::{
    Command, CommandKind, DeliveryHeaders, Home, MessageId, Origin, RoomId, RoomKind, ServerFrame,
    Target, UserId, VERSION, lane_of,
};
use service::clock::Clock;
use service::kafka::Topics;
use service::lifecycle::Lifecycle;
use service::metrics::Metrics;
use service::trace::Tracer;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::kafka::Kafka;
use super::ledger::Postgres;

pub(super) const LANES: i32 = 2;
const HOMES: i32 = 97;
/// The home that answers come back on; nobody is connected there.
pub(super) const ORIGIN: Home = Home(50);
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Played;

impl Outside for Played {
    type Ledger = Postgres;
    type Lanes = Kafka;
    type Publish = Kafka;
    type Routes = Kafka;
}

/// The servers, and at most one process at work on them.
pub(super) struct Stage {
    pub(super) kafka: Kafka,
    pub(super) postgres: Postgres,
    process: Option<(Lifecycle, Arc<Context<Played>>)>,
}

pub(super) fn user(n: i64) -> UserId {
    UserId::new(n).unwrap()
}

/// A room of this lane, the n-th.
pub(super) fn room_in(lane: i32, n: usize) -> RoomId {
    let rooms = (1..).map(|id| RoomId::new(id).unwrap());
    rooms
        .filter(|room| lane_of(*room, LANES).0 == lane)
        .nth(n)
        .unwrap()
}

pub(super) fn say(text: &str) -> CommandKind {
    CommandKind::Message { body: text.into() }
}

pub(super) fn group(members: &[i64]) -> CommandKind {
    CommandKind::Create {
        room_kind: RoomKind::Group,
        name: "g".into(),
        members: members.iter().map(|n| user(*n)).collect(),
    }
}

pub(super) fn command(room: RoomId, sender: i64, kind: CommandKind) -> Command {
    Command {
        v: VERSION,
        room,
        sender: user(sender),
        id: Uuid::new_v4(),
        retry: false,
        at: 0,
        origin: Some(Origin {
            home: ORIGIN,
            session: Uuid::new_v4(),
        }),
        kind,
    }
}

impl Stage {
    pub(super) fn new() -> Self {
        let kafka = Kafka::default();
        kafka.remake_topic("first");
        Self {
            kafka,
            postgres: Postgres::with_lanes(LANES),
            process: None,
        }
    }

    /// A process at work that has settled one command: 1 has made a room with 2, in lane 0.
    pub(super) async fn begun() -> (Self, RoomId) {
        let mut stage = Self::new();
        let room = room_in(0, 0);
        stage.produce(&command(room, 1, group(&[2])));
        stage.start();
        stage.settled([0, -1]).await;
        (stage, room)
    }

    /// Starts a process with one worker: both lanes share its batches. It notes all the time how far it is, which is what tests
    /// wait for.
    pub(super) fn start(&mut self) {
        self.start_renewing(Duration::from_millis(20));
    }

    /// Starts one that renews so often.
    pub(super) fn start_renewing(&mut self, each: Duration) {
        let lifecycle = Lifecycle::new(PATIENCE);
        let context = self.context(lifecycle.drain().clone());
        serve::start(&lifecycle, &context, 1, Clock::system(), |owner| {
            owner.renewing_each(each)
        });
        self.process = Some((lifecycle, context));
    }

    /// What a process has of the servers.
    pub(super) fn context(&self, stop: CancellationToken) -> Arc<Context<Played>> {
        Arc::new(Context {
            ledger: self.postgres.clone(),
            source: self.kafka.clone(),
            publish: self.kafka.clone(),
            routes: self.kafka.clone(),
            name: "me".into(),
            lanes: LANES,
            homes: HOMES,
            rules: Rules { group_limit: 10 },
            topics: Topics::new(""),
            tracer: Tracer::off(),
            metrics: ClassifierMetrics::new(&Metrics::new()),
            stop,
        })
    }

    /// Ends it as kill -9 does: nothing is released, nothing finished.
    pub(super) async fn kill(&mut self) {
        let (lifecycle, _) = self.process.take().unwrap();
        lifecycle.abort().cancel();
        lifecycle.drain().cancel();
        let _ = lifecycle.wait().await;
    }

    /// Ends it as SIGTERM does.
    pub(super) async fn stop(&mut self) {
        let (lifecycle, _) = self.process.take().unwrap();
        lifecycle.drain().cancel();
        lifecycle.wait().await.unwrap();
    }

    /// No lane is anybody's.
    pub(super) fn lanes_are_free(&self) {
        for lane in 0..LANES {
            assert_eq!(self.postgres.lane(lane).owner, None);
        }
    }

    pub(super) fn metrics(&self) -> &ClassifierMetrics {
        &self.process.as_ref().unwrap().1.metrics
    }

    pub(super) fn produce(&self, command: &Command) -> i64 {
        self.kafka.produce(lane_of(command.room, LANES).0, command)
    }

    /// Waits for a condition; `what` and the state are told when it does not come.
    pub(super) async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !holds() {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{what} did not come; lanes {:?} {:?}, events {:#?}",
                self.postgres.lane(0),
                self.postgres.lane(1),
                self.postgres.events(),
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Everything up to the end of both logs is decided and routed.
    pub(super) async fn settled(&self, ends: [i64; 2]) {
        self.until("settled lanes", || {
            (0..LANES).zip(ends).all(|(lane, end)| {
                let row = self.postgres.lane(lane);
                row.applied == end && row.routed == end
            })
        })
        .await;
    }

    pub(super) async fn answer(&self, id: MessageId) -> ServerFrame {
        self.until("an answer", || !self.answers(id).is_empty())
            .await;
        self.answers(id).remove(0)
    }

    pub(super) fn answers(&self, id: MessageId) -> Vec<ServerFrame> {
        let frames = self
            .kafka
            .sent_to(Sink::Home(ORIGIN))
            .into_iter()
            .map(|record| {
                serde_json::from_slice::<ServerFrame>(record.payload.as_deref().unwrap()).unwrap()
            });
        frames
            .filter(|frame| match frame {
                ServerFrame::Stored { id: of, .. } | ServerFrame::Rejected { id: of, .. } => {
                    *of == id
                }
                _ => false,
            })
            .collect()
    }

    /// The seqs of a room that were sent to user `n`'s home, in order, with repeats.
    pub(super) fn delivered(&self, room: RoomId, n: i64) -> Vec<i64> {
        let home = Home(i32::try_from(n).unwrap());
        self.kafka
            .sent_to(Sink::Home(home))
            .iter()
            .filter_map(|record| {
                let headers = record
                    .headers
                    .iter()
                    .map(|(name, value)| (*name, &value[..]));
                let headers = DeliveryHeaders::decode(headers).unwrap();
                assert_eq!(headers.target, Target::Users(vec![user(n)]));
                (headers.room == Some(room)).then(|| headers.seq.unwrap().get())
            })
            .collect()
    }

    pub(super) fn stored(&self, room: RoomId) -> Vec<i64> {
        let events = self.postgres.events();
        let of_room = events.iter().filter(|event| event.room == room);
        of_room.map(|event| event.seq.get()).collect()
    }
}

pub(super) fn is_stored(frame: &ServerFrame, expected: i64) -> bool {
    matches!(frame, ServerFrame::Stored { seq, .. } if seq.get() == expected)
}

pub(super) fn rejection(frame: &ServerFrame) -> &'static str {
    match frame {
        ServerFrame::Rejected { code, .. } => code.as_str(),
        _ => "",
    }
}
