//! Reading in place of an owner: what is read is handed on, and only then committed.

use protocol::{Address, DeliveryHeaders, RoomId, Seq, UserId};
use service::kafka::{FeedError, Incoming, ProduceError};
use tokio::sync::mpsc;

use super::*;
use crate::fed::{Fed, Feeder, fed, record};
use crate::handover::played::{Log, Played, Sent, handover, route};

const PATIENCE: Duration = Duration::from_secs(20);

const HOME: i32 = 3;

fn event(seq: i64, to: &[i64]) -> DeliveryHeaders {
    let to = to.iter().map(|id| UserId::new(*id).unwrap()).collect();
    DeliveryHeaders::event(RoomId::new(7).unwrap(), Seq::new(seq).unwrap(), to)
}

/// A reader of home 3, whose lease has ended.
struct Bench {
    handover: Arc<Handover<Played, Log>>,
    feeder: Feeder,
    commits: mpsc::UnboundedReceiver<i64>,
    may_commit: watch::Sender<bool>,
    /// How often it was asked.
    asked: watch::Receiver<u32>,
    stop: CancellationToken,
    task: JoinHandle<Ended>,
}

impl Bench {
    fn start(handover: Handover<Played, Log>) -> Self {
        Self::over(handover, fed())
    }

    /// With what waits to be read from the beginning.
    fn over(handover: Handover<Played, Log>, (feeder, feed): (Feeder, Fed)) -> Self {
        let handover = Arc::new(handover);
        let (committed, commits) = mpsc::unbounded_channel();
        let (may_commit, may) = watch::channel(true);
        let (asking, asked) = watch::channel(0);
        let stop = CancellationToken::new();
        let reader = Reader {
            feed,
            commit: Box::new(move |next| {
                committed.send(next).unwrap();
                std::future::ready(Ok(())).boxed()
            }),
            commit_every: Duration::from_millis(10),
            handover: Arc::clone(&handover),
            observed: Arc::clone(&handover.observed),
            may_commit: Box::new(move || {
                asking.send_modify(|asked| *asked += 1);
                *may.borrow()
            }),
            stop: stop.clone(),
        };
        Self {
            handover,
            feeder,
            commits,
            may_commit,
            asked,
            stop,
            task: tokio::spawn(reader.run()),
        }
    }

    fn put(&self, offset: i64, headers: &DeliveryHeaders) {
        self.feeder.send(Ok(record(HOME, offset, headers))).unwrap();
    }

    /// The next commit.
    async fn committed(&mut self) -> i64 {
        let next = tokio::time::timeout(PATIENCE, self.commits.recv()).await;
        next.expect("a commit in time").unwrap()
    }

    /// All further commits, to the end of the reader.
    async fn stopped(mut self) -> Vec<i64> {
        self.stop.cancel();
        ended(self.task).await.unwrap();
        std::iter::from_fn(|| self.commits.try_recv().ok()).collect()
    }
}

/// How a reader ended.
async fn ended(task: JoinHandle<Ended>) -> Ended {
    let ended = tokio::time::timeout(PATIENCE, task).await;
    ended.expect("an end in time").unwrap()
}

/// I8, trap 5: each recipient is handed on, whatever else there is is read over, and nothing is
/// committed before Kafka has acknowledged what comes before it.
#[tokio::test]
async fn i8_trap_5_nothing_is_committed_before_it_is_handed_on() {
    let handover = handover();
    handover.stand(1, &[route(2, 20)]);
    handover.stand(2, &[route(3, 30)]);
    let refused = (false, ProduceError::TimedOut);
    handover.publisher.refusals.lock().unwrap().push(refused);
    let mut bench = Bench::start(handover);
    bench.put(40, &DeliveryHeaders::answer(Address::nil()));
    bench.put(41, &event(5, &[1, 2]));
    bench.put(
        42,
        &DeliveryHeaders::signal(RoomId::new(7).unwrap(), vec![UserId::new(1).unwrap()]),
    );
    let garbage = Incoming {
        headers: Vec::new(),
        ..record(HOME, 43, &event(6, &[1]))
    };
    bench.feeder.send(Ok(garbage)).unwrap();
    bench.put(44, &event(6, &[2]));
    bench.handover.failures(1).await;
    assert!(bench.commits.try_recv().is_err(), "not acknowledged yet");
    assert_eq!(bench.committed().await, 45);
    let sent = bench.handover.sent();
    // Only what was not acknowledged goes again.
    let whole = [Sent::Push(2, 5), Sent::Push(2, 6), Sent::To(2, 5, vec![1])];
    assert_eq!(sent, whole);
    assert_eq!(bench.handover.observed.unreadable.get(), 1);
    assert_eq!(bench.handover.observed.steward_records.get(), 5);
    // Nothing new, nothing committed.
    assert_eq!(bench.stopped().await, [0_i64; 0]);
}

/// Who could not renew commits nothing; what it has handed on is read again by the next one.
#[tokio::test]
async fn without_a_lease_nothing_is_committed() {
    let mut bench = Bench::start(handover());
    bench.may_commit.send_replace(false);
    bench.put(8, &event(5, &[1]));
    let asked = bench.asked.wait_for(|asked| *asked >= 3);
    tokio::time::timeout(PATIENCE, asked)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(bench.handover.sent(), [Sent::Push(1, 5)]);
    assert!(bench.commits.try_recv().is_err());
    bench.may_commit.send_replace(true);
    assert_eq!(bench.committed().await, 9);
}

/// Trap 5: stopped while Kafka is away, the offset is left at the first record that is not done.
#[tokio::test]
async fn trap_5_a_stop_commits_what_is_done_and_no_more() {
    let mut bench = Bench::start(handover());
    bench.put(8, &event(5, &[1]));
    assert_eq!(bench.committed().await, 9);
    let refusals = vec![(false, ProduceError::TimedOut); 1_000];
    *bench.handover.publisher.refusals.lock().unwrap() = refusals;
    bench.put(9, &DeliveryHeaders::answer(Address::nil()));
    bench.put(10, &event(6, &[1]));
    bench.handover.failures(1).await;
    bench.put(11, &event(7, &[1]));
    let handover = Arc::clone(&bench.handover);
    let last = bench.stopped().await;
    assert_eq!(last.last(), Some(&10), "{last:?}");
    assert_eq!(handover.sent(), [Sent::Push(1, 5)]);
}

/// What can't be read any more ends the reader, after what was read is handed on.
#[tokio::test]
async fn an_end_of_the_feed_is_told() {
    let bench = Bench::start(handover());
    bench.put(8, &event(5, &[1]));
    let passing = FeedError::Other("passing".to_owned());
    bench.feeder.send(Err(passing)).unwrap();
    bench.put(9, &event(6, &[1]));
    bench.feeder.send(Err(FeedError::OutOfRange)).unwrap();
    let ended = ended(bench.task).await.unwrap_err();
    assert_eq!(ended.to_string(), FeedError::OutOfRange.to_string());
    assert_eq!(bench.handover.sent(), [Sent::Push(1, 5), Sent::Push(1, 6)]);
}

/// I9: a record for very many is handed on before the next one is read; few of few are read together.
#[tokio::test]
async fn i9_recipients_are_bounded() {
    for (recipients, read) in [(20_001, 1), (1, 3)] {
        let handover = handover();
        // More than an attempt sends, so that none succeeds.
        *handover.publisher.refusals.lock().unwrap() =
            vec![(false, ProduceError::TimedOut); 30_000];
        let many: Vec<i64> = (1..=recipients).collect();
        let (feeder, feed) = fed();
        for offset in 0..3 {
            let record = record(HOME, offset, &event(offset + 1, &many));
            feeder.send(Ok(record)).unwrap();
        }
        let mut bench = Bench::over(handover, (feeder, feed));
        bench.handover.failures(1).await;
        assert_eq!(bench.handover.observed.steward_records.get(), read);
        bench.handover.publisher.refusals.lock().unwrap().clear();
        while bench.committed().await < 3 {}
        let pushed = bench.handover.observed.custody.pushed.get();
        assert_eq!(pushed, 3 * recipients.unsigned_abs());
    }
}
