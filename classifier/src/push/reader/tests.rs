//! The reader with everything around it played.

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use protocol::{RoomId, Seq};
use service::kafka::Topics;
use service::metrics::Metrics;
use service::trace::{Reads, Tracer};

use super::super::done::AHEAD;
use super::super::metrics::PushMetrics;
use super::*;
use crate::ports::{Ack, Outgoing, PublishError, RoutesError, Sink};

/// Records that are there; then nothing more comes.
struct Log(VecDeque<Incoming>);

impl ReadFeed for Log {
    fn try_recv(&mut self) -> Result<Option<Incoming>, FeedError> {
        Ok(self.0.pop_front())
    }

    async fn recv(&mut self) -> Result<Incoming, FeedError> {
        match self.0.pop_front() {
            Some(record) => Ok(record),
            None => std::future::pending().await,
        }
    }
}

/// Users of whom nothing is known for some look-ups more; who is at home 1; the others are nowhere.
#[derive(Clone, Default)]
struct Somewhere {
    unseen: Arc<Mutex<HashMap<i64, usize>>>,
    home: Option<i64>,
}

impl Routes for Somewhere {
    async fn homes(&self, users: &[UserId]) -> crate::ports::Whereabouts {
        let mut unseen = self.unseen.lock().unwrap();
        let mut found = crate::ports::Whereabouts::default();
        for user in users {
            match unseen.get_mut(&user.get()).filter(|left| **left > 0) {
                Some(left) => {
                    *left -= 1;
                    found.failure = Some(RoutesError("away".into()));
                }
                None => {
                    let there = self.home == Some(user.get());
                    let homes = if there { vec![Home(1)] } else { Vec::new() };
                    found.known.insert(*user, homes);
                }
            }
        }
        found
    }
}

/// Takes everything.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<Vec<Outgoing>>>);

impl Publish for Taken {
    fn publish(&self, record: &Outgoing) -> Result<Ack, PublishError> {
        self.0.lock().unwrap().push(record.clone());
        Ok(Box::pin(std::future::ready(Ok(()))))
    }
}

/// One record for each of these users and seqs, by rising offset.
fn log(records: impl Iterator<Item = (i64, i64)>) -> Log {
    let incoming = records.zip(0..).map(|((user, seq), offset)| {
        let user = UserId::new(user).unwrap();
        let push = PushRecord::check(user, RoomId::new(7).unwrap(), Seq::new(seq).unwrap());
        Incoming {
            partition: 0,
            offset,
            timestamp_ms: 0,
            key: Some(push.key()),
            headers: Vec::new(),
            payload: Some(push.encode()),
        }
    });
    Log(incoming.collect())
}

struct Played {
    log: Log,
    routes: Somewhere,
    published: Taken,
    metrics: PushMetrics,
    partition: Arc<Partition>,
}

impl Played {
    fn new(log: Log, routes: Somewhere) -> Self {
        Self {
            log,
            routes,
            published: Taken::default(),
            metrics: PushMetrics::new(&Metrics::new()),
            partition: Arc::new(Partition::new(0, 0)),
        }
    }

    /// Reads until so many records are told, each done at once; whom, and which.
    async fn told(self, n: usize) -> (Vec<(i64, i64)>, Vec<Outgoing>, PushMetrics) {
        let shared = Shared {
            publish: self.published.clone(),
            topics: Topics::new(""),
            reads: Reads::new(&Tracer::off(), Topics::new("").push()),
            metrics: self.metrics.clone(),
        };
        let (to, mut from) = mpsc::channel(8);
        let reader = Reader {
            feed: self.log,
            partition: &self.partition,
            routes: &self.routes,
            homes: 4,
            shared: &shared,
            clock: &Clock::system(),
            wait: Duration::ZERO,
            to: &to,
            ahead: None,
            unknown: Vec::new(),
        };
        let mut told = Vec::new();
        let telling = async {
            while told.len() < n {
                let (user, item): (UserId, Item) = from.recv().await.unwrap();
                told.push((user.get(), item.record.seq.get()));
                item.partition.end(item.raw.offset);
            }
        };
        let both = async {
            tokio::select! {
                ended = reader.run() => panic!("{ended:?}"),
                () = telling => {}
            }
        };
        let enough = Duration::from_secs(60);
        let ended = tokio::time::timeout(enough, both).await;
        assert!(ended.is_ok(), "{} of {n} in {enough:?}", told.len());
        let published = self.published.0.lock().unwrap().clone();
        (told, published, self.metrics)
    }
}

/// I8: of whom nothing is known is waited for, behind nobody else, and their later pushes wait behind
/// their first.
#[tokio::test]
async fn i8_who_can_not_be_seen_keeps_their_order_and_keeps_nobody_waiting() {
    let records = [(3, 1), (4, 1), (3, 2), (4, 2), (3, 3)];
    let routes = Somewhere {
        unseen: Arc::new(Mutex::new(HashMap::from([(3, 2)]))),
        home: None,
    };
    let (told, _, metrics) = Played::new(log(records.into_iter()), routes).told(5).await;
    assert_eq!(told, [(4, 1), (4, 2), (3, 1), (3, 2), (3, 3)]);
    assert_eq!(metrics.route_failures.get(), 2);
}

/// Who can't be seen holds back the offset; reading stops in reach of it, and goes on once they can
/// be seen. (It once waited for what only it could end.)
#[tokio::test]
async fn i9_who_can_not_be_seen_for_long_holds_up_reading_and_not_for_ever() {
    let others = AHEAD + 2_000;
    let first = std::iter::once((3, 1));
    let records = first.chain((1..=others).map(|seq| (4, seq)));
    // Each look-up has at most 500 records, so that reading has come to its end before these are over.
    let rounds = usize::try_from(AHEAD / 500).unwrap() + 3;
    let routes = Somewhere {
        unseen: Arc::new(Mutex::new(HashMap::from([(3, rounds)]))),
        home: None,
    };
    let all = usize::try_from(others).unwrap() + 1;
    let (told, ..) = Played::new(log(records), routes).told(all).await;
    let place = told.iter().position(|one| *one == (3, 1)).unwrap();
    let reach = usize::try_from(AHEAD).unwrap() + TOGETHER;
    assert!((reach - 2 * TOGETHER..=reach).contains(&place), "{place}");
}

/// I8: the home of who is back is reminded, and only who is away is told.
#[tokio::test]
async fn i8_who_is_back_is_their_homes() {
    let records = [(3, 1), (4, 5), (3, 2)];
    let routes = Somewhere {
        home: Some(4),
        ..Somewhere::default()
    };
    let played = Played::new(log(records.into_iter()), routes);
    let partition = Arc::clone(&played.partition);
    let (told, published, metrics) = played.told(2).await;
    assert_eq!(told, [(3, 1), (3, 2)]);
    assert_eq!(metrics.records("connected"), 1);
    assert_eq!(partition.next(), 3);
    assert_eq!(published.len(), 1);
    assert_eq!(published[0].sink, Sink::Home(Home(1)));
    assert_eq!(published[0].payload, None::<Bytes>);
}
