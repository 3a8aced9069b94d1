//! What is committed, and when; reading goes on whatever becomes of the commits.
use std::time::Duration;

use service::kafka::KafkaError;
use service::metrics::Metrics;
use service::trace::Tracer;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::super::keeping::{CAPACITY, Pace};
use super::*;
use crate::custody::Round;
use crate::fed::{Feeder, fed, record};

const BOUND: Bound = Bound {
    frames: 16,
    bytes: 1 << 20,
};
const PATIENCE: Duration = Duration::from_secs(20);

const QUICK: Pace = Pace {
    turn: Duration::from_millis(20),
    commit: Duration::from_millis(100),
    full: Duration::from_millis(500),
};

const HOME: i32 = 1;

fn untraced() -> Reads {
    Reads::new(&Tracer::off(), &Arc::from("chat-receive"))
}

fn user(n: i64) -> UserId {
    UserId::new(n).unwrap()
}

/// Of room 1, with the offset as its seq.
fn event(offset: i64, to: &[i64]) -> Incoming {
    let to = to.iter().map(|&n| user(n)).collect();
    let (room, seq) = (RoomId::new(1).unwrap(), Seq::new(offset).unwrap());
    record(HOME, offset, &DeliveryHeaders::event(room, seq, to))
}

async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, wait).await;
    done.unwrap_or_else(|_| panic!("no {what}"))
}

/// Orphans that are being handed on, and what says that they are.
type HandedOn = (Vec<Orphan>, oneshot::Sender<bool>);

/// A reader, and all that is around it.
struct Bench {
    feeder: Feeder,
    commits: mpsc::Receiver<(i64, oneshot::Sender<()>)>,
    orphans: mpsc::Receiver<HandedOn>,
    registry: Arc<Registry>,
    observed: Arc<Observed>,
    stop: CancellationToken,
    reading: JoinHandle<Result<(), FeedError>>,
}

impl Bench {
    fn new(capacity: Capacity) -> Self {
        let (feeder, feed) = fed();
        let (asked, commits) = mpsc::channel(16);
        let (handed, orphans) = mpsc::channel(16);
        let registry = Arc::new(Registry::default());
        let observed = Arc::new(Observed::new(&Metrics::new()));
        let stop = CancellationToken::new();
        let reader = Reader {
            feed,
            commit: Box::new(move |next| {
                let asked = asked.clone();
                async move {
                    let (answer, answered) = oneshot::channel();
                    asked.send((next, answer)).await.unwrap();
                    let gone = |_| KafkaError::Client("gone".into());
                    answered.await.map_err(gone)
                }
                .boxed()
            }),
            hand_on: Box::new(move |orphans| {
                let handed = handed.clone();
                async move {
                    let (done, whether) = oneshot::channel();
                    handed.send((orphans, done)).await.unwrap();
                    whether.await.unwrap_or(false)
                }
                .boxed()
            }),
            registry: Arc::clone(&registry),
            observed: Arc::clone(&observed),
            bound: BOUND,
            capacity,
            pace: QUICK,
            reads: untraced(),
            may_commit: Box::new(|| true),
            stop: stop.clone(),
        };
        Self {
            feeder,
            commits,
            orphans,
            registry,
            observed,
            stop,
            reading: tokio::spawn(reader.run()),
        }
    }

    fn enter(&self, n: i64, address: u128) -> Arc<Mailbox> {
        let mailbox = Arc::new(Mailbox::default());
        let address = Address::from_u128(address);
        self.registry.enter(user(n), address, &mailbox);
        mailbox
    }

    /// A session ends whose client has not received all.
    fn end(&self, n: i64, address: u128) {
        let address = Address::from_u128(address);
        self.registry.leave(user(n), address);
        self.registry.ended(user(n), address, false);
    }

    fn feed(&self, record: Incoming) {
        self.feeder.send(Ok(record)).unwrap();
    }

    /// Waits for the next commit, and lets it succeed.
    async fn committed(&mut self) -> i64 {
        let (next, answer) = soon("commit", self.commits.recv()).await.unwrap();
        answer.send(()).unwrap();
        next
    }

    /// Waits until this is committed: what is committed before is less.
    async fn committed_at(&mut self, wanted: i64) {
        loop {
            let next = self.committed().await;
            assert!(next <= wanted, "{next} is past {wanted}");
            if next == wanted {
                return;
            }
        }
    }

    async fn orphaned(&mut self) -> (Vec<(i64, i64)>, oneshot::Sender<bool>) {
        let (orphans, done) = soon("orphans", self.orphans.recv()).await.unwrap();
        let named = |orphan: &Orphan| (orphan.user.get(), orphan.seq.get());
        (orphans.iter().map(named).collect(), done)
    }

    /// Confirms for a session all up to the round before the present one, as soon as that is above
    /// `round`.
    async fn confirm(&self, n: i64, address: u128, round: Round) {
        let later = async {
            while self.registry.present() <= round {
                tokio::time::sleep(QUICK.turn).await;
            }
        };
        soon("next round", later).await;
        let upto = self.registry.present().before().unwrap();
        let address = Address::from_u128(address);
        self.registry.confirmed(user(n), address, upto, 0);
    }
}

/// Waits for the next item of a mailbox: its seq, and its round.
async fn live(mailbox: &Mailbox) -> (i64, Round) {
    soon("item", mailbox.ready()).await;
    let mut items = mailbox.take().unwrap();
    assert_eq!(items.len(), 1, "{items:?}");
    match items.pop_front() {
        Some(Item::Live { seq, round, .. }) => (seq.get(), round.unwrap()),
        other => panic!("{other:?}"),
    }
}

/// A commit that is not answered (its broker has died) holds up no record, is the only one under
/// way, and does not keep the reader from stopping.
#[tokio::test]
async fn a_commit_under_way_holds_up_nobody() {
    let mut bench = Bench::new(CAPACITY);
    let mailbox = bench.enter(1, 1);
    let answer = DeliveryHeaders::answer(Address::from_u128(1));
    bench.feed(record(HOME, 7, &answer));
    soon("first record", mailbox.ready()).await;
    assert_eq!(mailbox.take().unwrap().len(), 1);
    let (next, first) = soon("commit", bench.commits.recv()).await.unwrap();
    assert_eq!(next, 8);
    for offset in 8..20 {
        bench.feed(record(HOME, offset, &answer));
        soon("record while a commit is under way", mailbox.ready()).await;
        assert_eq!(mailbox.take().unwrap().len(), 1);
    }
    // Another is asked for only when the first has ended.
    let second = tokio::time::timeout(QUICK.commit * 5, bench.commits.recv()).await;
    assert!(second.is_err(), "{second:?}");
    first.send(()).unwrap();
    let (next, _unanswered) = soon("second commit", bench.commits.recv()).await.unwrap();
    assert_eq!(next, 20);
    bench.stop.cancel();
    soon("end", bench.reading).await.unwrap().unwrap();
}

/// I8, trap 5: a record that is queued on a session is not committed; one that its client has received
/// is, however much is queued since.
#[tokio::test]
async fn i8_trap_5_what_is_queued_is_not_committed() {
    let mut bench = Bench::new(CAPACITY);
    let mailbox = bench.enter(1, 1);
    bench.feed(event(7, &[1]));
    let (seq, round) = live(&mailbox).await;
    assert_eq!(seq, 7);
    assert_eq!(bench.committed().await, 7, "only what was before it");
    bench.confirm(1, 1, round).await;
    bench.committed_at(8).await;
    bench.feed(event(8, &[1]));
    let (_, later) = live(&mailbox).await;
    assert!(later > round);
    bench.confirm(1, 1, later).await;
    bench.committed_at(9).await;
    assert_eq!(bench.observed.custody.confirmed.get(), 2);
    bench.stop.cancel();
    soon("end", bench.reading).await.unwrap().unwrap();
}

/// I8, trap 5: what a session that ends has not confirmed is handed on, and committed when that is
/// done; it may be done by the gateway that stops.
#[tokio::test]
async fn i8_trap_5_what_an_ended_session_held_is_handed_on() {
    let mut bench = Bench::new(CAPACITY);
    let (one, two) = (bench.enter(1, 1), bench.enter(2, 2));
    bench.feed(event(7, &[1, 2]));
    let (_, round) = live(&one).await;
    live(&two).await;
    bench.confirm(1, 1, round).await;
    bench.end(2, 2);
    let (orphans, done) = bench.orphaned().await;
    assert_eq!(orphans, [(2, 7)]);
    assert_eq!(bench.committed().await, 7, "it is only on its way");
    done.send(true).unwrap();
    bench.committed_at(8).await;

    bench.feed(event(8, &[1]));
    live(&one).await;
    // The gateway stops: its sessions have ended.
    bench.end(1, 1);
    bench.stop.cancel();
    let (orphans, done) = bench.orphaned().await;
    assert_eq!(orphans, [(1, 8)]);
    done.send(true).unwrap();
    bench.committed_at(9).await;
    soon("end", bench.reading).await.unwrap().unwrap();
}

/// I8: whoever is not here is handed on by the owner too, as after its restart; signals and answers
/// are of no use to who is not here.
#[tokio::test]
async fn i8_who_is_not_here_is_handed_on() {
    let mut bench = Bench::new(CAPACITY);
    let signal = DeliveryHeaders::signal(RoomId::new(1).unwrap(), vec![user(3)]);
    bench.feed(record(HOME, 6, &signal));
    bench.feed(event(7, &[1, 2]));
    let (orphans, done) = bench.orphaned().await;
    assert_eq!(orphans, [(1, 7), (2, 7)]);
    assert_eq!(bench.committed().await, 7);
    done.send(true).unwrap();
    bench.committed_at(8).await;
}

/// I8: what could not be handed on before the end is left to the next reader.
#[tokio::test]
async fn i8_what_was_not_handed_on_is_not_committed() {
    let mut bench = Bench::new(CAPACITY);
    bench.feed(event(7, &[1]));
    let (_, _not_done) = bench.orphaned().await;
    bench.feed(event(8, &[1]));
    bench.stop.cancel();
    assert_eq!(bench.committed().await, 7);
    soon("end", bench.reading).await.unwrap().unwrap();
}

/// I9: the registry is let go of after so many recipients, however few records they are of: who enters
/// or leaves waits for it.
#[tokio::test]
async fn i9_few_records_of_many_recipients_are_taken_at_once() {
    let (feeder, feed) = fed();
    let observed = Arc::new(Observed::new(&Metrics::new()));
    let registry = Arc::new(Registry::default());
    let (ours, theirs) = (Arc::clone(&registry), Arc::clone(&observed));
    let mut keeping = Keeping::new(ours, theirs, BOUND, CAPACITY, QUICK.full);
    let mut reader = Reader {
        feed,
        commit: Box::new(|_| std::future::ready(Ok(())).boxed()),
        hand_on: Box::new(|_| std::future::ready(true).boxed()),
        registry,
        observed: Arc::clone(&observed),
        bound: BOUND,
        capacity: CAPACITY,
        pace: QUICK,
        reads: untraced(),
        may_commit: Box::new(|| true),
        stop: CancellationToken::new(),
    };
    let many: Vec<i64> = (1..=1_000).collect();
    for offset in 8..60 {
        feeder.send(Ok(event(offset, &many))).unwrap();
    }
    reader.take(event(7, &many), &mut keeping);
    assert_eq!(observed.records.get(), 20);
}

/// I9: what does not fit is left in Kafka; who keeps it so is asked to ping, and in the end closed.
#[tokio::test]
async fn i9_at_the_bound_it_reads_no_more_and_closes_who_keeps_it_so() {
    let small = Capacity {
        records: 2,
        deliveries: 100,
    };
    let mut bench = Bench::new(small);
    let mailbox = bench.enter(1, 1);
    for offset in 7..10 {
        bench.feed(event(offset, &[1]));
    }
    let mut came = Vec::new();
    let ended = loop {
        soon("end", mailbox.ready()).await;
        match mailbox.take() {
            Ok(items) => came.extend(items),
            Err(code) => break code,
        }
        if let Some(Item::End(code)) = came.last() {
            break *code;
        }
    };
    assert_eq!(ended, CloseCode::TooSlow);
    let records = came.iter().filter(|item| matches!(item, Item::Live { .. }));
    assert_eq!(records.count(), 2);
    assert!(came.iter().any(|item| matches!(item, Item::Press(_))));
    bench.end(1, 1);
    let (orphans, done) = bench.orphaned().await;
    assert_eq!(orphans, [(1, 7), (1, 8)]);
    done.send(true).unwrap();
    let (orphans, done) = bench.orphaned().await;
    assert_eq!(orphans, [(1, 9)], "read on");
    done.send(true).unwrap();
    bench.committed_at(10).await;
}
