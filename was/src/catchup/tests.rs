use std::collections::HashSet;
use std::time::Duration;

use protocol::CloseCode;
use service::metrics::Metrics;
use tokio::sync::oneshot;

use super::*;

const BOUND: Bound = Bound {
    frames: 10,
    bytes: 1_000,
};

/// A query that was sent, held until the test answers it.
struct Sent {
    users: Vec<i64>,
    answer: oneshot::Sender<Found>,
}

impl Sent {
    fn answer(self) {
        let found = self.users.iter().map(|_| Ok(CatchUpAnswer::default()));
        self.answer.send(Ok(found.collect())).unwrap();
    }

    fn fail(self, error: StoreError) {
        self.answer.send(Err(error)).unwrap();
    }
}

#[derive(Clone)]
struct Desk(mpsc::UnboundedSender<Sent>);

impl Source for Desk {
    async fn catch_up(&self, requests: &[CatchUpRequest], _: i64) -> Found {
        let (answer, answered) = oneshot::channel();
        let users = requests.iter().map(|request| request.user.get()).collect();
        self.0.send(Sent { users, answer }).unwrap();
        answered.await.unwrap()
    }
}

struct Bench {
    asking: CatchUp,
    sent: mpsc::UnboundedReceiver<Sent>,
    limits: Limits,
    _stop: tokio_util::sync::DropGuard,
}

impl Bench {
    fn new() -> Self {
        let (sender, sent) = mpsc::unbounded_channel();
        let observed = Arc::new(Observed::new(&Metrics::new()));
        let stop = CancellationToken::new();
        let (asking, task) = catch_up(Desk(sender), observed, BOUND, stop.clone());
        tokio::spawn(task.run());
        let limits = Limits {
            body_chars: 0,
            body_bytes: 0,
            frame_bytes: 0,
            rate_per_second: 0,
            rate_burst: 0,
            replay_room: 300,
            replay_total: 1_000,
        };
        Self {
            asking,
            sent,
            limits,
            _stop: stop.drop_guard(),
        }
    }

    /// With as many queries under way as may be: what is asked now waits.
    async fn busy() -> (Self, Vec<Sent>) {
        let (mut bench, mut under_way) = (Self::new(), Vec::new());
        for n in 0..QUERIES {
            bench.hello(1_000 + i64::try_from(n).unwrap());
            under_way.push(bench.next().await);
        }
        (bench, under_way)
    }

    fn ask(&self, user: i64, first: bool) -> Arc<Mailbox> {
        let mailbox = Arc::new(Mailbox::default());
        let query = Query {
            number: 1,
            first,
            rooms: Rooms::All,
            cursors: Vec::new(),
            marks: first,
        };
        let user = UserId::new(user).unwrap();
        self.asking.ask(user, query, &self.limits, &mailbox);
        mailbox
    }

    fn hello(&self, user: i64) -> Arc<Mailbox> {
        self.ask(user, true)
    }

    fn settle(&self, user: i64) -> Arc<Mailbox> {
        self.ask(user, false)
    }

    async fn next(&mut self) -> Sent {
        let next = tokio::time::timeout(Duration::from_secs(60), self.sent.recv());
        next.await.expect("a query in time").unwrap()
    }
}

/// Whether the session's question was answered, once there is an answer of either kind.
async fn answered(mailbox: &Mailbox) -> bool {
    let ready = tokio::time::timeout(Duration::from_secs(60), mailbox.ready());
    ready.await.expect("an answer in time");
    match mailbox.take().unwrap().pop_front().unwrap() {
        Item::Answered(1, answer) => answer.is_some(),
        other => panic!("{other:?}"),
    }
}

/// Trap 8: a query that was sent is joined by nobody; those that wait share the next.
#[tokio::test]
async fn trap_8_a_query_under_way_is_not_joined() {
    let mut bench = Bench::new();
    let one = bench.hello(1);
    let first = bench.next().await;
    let two = bench.hello(2);
    let second = bench.next().await;
    assert_eq!((&first.users, &second.users), (&vec![1], &vec![2]));
    first.answer();
    assert!(answered(&one).await);
    assert!(two.take().unwrap().is_empty(), "not by the first's answer");
    second.answer();
    assert!(answered(&two).await);

    let (mut bench, mut under_way) = Bench::busy().await;
    let waiting: Vec<_> = (1..=3).map(|user| bench.hello(user)).collect();
    under_way.pop().unwrap().answer();
    let shared = bench.next().await;
    assert_eq!(shared.users, [1, 2, 3]);
    shared.answer();
    for mailbox in &waiting {
        assert!(answered(mailbox).await);
    }
}

/// In a storm, what nobody waits for any more is not asked.
#[tokio::test]
async fn questions_of_gone_sessions_are_dropped() {
    let (mut bench, mut under_way) = Bench::busy().await;
    let left = bench.hello(1);
    let ended = bench.hello(2);
    let _here = bench.hello(3);
    left.abandon();
    for _ in 0..=BOUND.frames {
        ended.push(Item::Signal(bytes::Bytes::new()), BOUND);
    }
    assert_eq!(ended.take().unwrap_err(), CloseCode::TooSlow);
    under_way.pop().unwrap().answer();
    assert_eq!(bench.next().await.users, [3]);
}

/// Who waits for the welcome goes before who is merely made sure of.
#[tokio::test]
async fn a_hello_goes_before_a_settle() {
    let (mut bench, mut under_way) = Bench::busy().await;
    let count = i64::try_from(SHARE).unwrap();
    let _settles: Vec<_> = (1..=count).map(|user| bench.settle(user)).collect();
    let _hello = bench.hello(500);
    under_way.pop().unwrap().answer();
    let sent = bench.next().await;
    assert_eq!(sent.users.len(), SHARE);
    assert_eq!(sent.users[..2], [500, 1]);
}

/// One that can't be answered fails alone.
#[tokio::test]
async fn one_bad_question_fails_alone() {
    let (mut bench, mut under_way) = Bench::busy().await;
    let waiting: Vec<_> = (1..=8).map(|user| bench.hello(user)).collect();
    under_way.pop().unwrap().answer();
    let mut good = HashSet::new();
    while good.len() < 7 {
        let sent = bench.next().await;
        if sent.users.contains(&6) {
            sent.fail(StoreError::Corrupt("bad".to_owned()));
        } else {
            good.extend(sent.users.clone());
            sent.answer();
        }
    }
    for (mailbox, user) in waiting.iter().zip(1..) {
        assert_eq!(answered(mailbox).await, user != 6, "{user}");
    }
}

/// While the store is away nobody waits for a question asked again and again.
#[tokio::test]
async fn a_store_that_is_away_is_asked_once() {
    let (mut bench, mut under_way) = Bench::busy().await;
    let waiting: Vec<_> = (1..=8).map(|user| bench.hello(user)).collect();
    under_way.pop().unwrap().answer();
    let away = StoreError::Unavailable {
        reason: "away".to_owned(),
        source: None,
    };
    bench.next().await.fail(away);
    for mailbox in &waiting {
        assert!(!answered(mailbox).await);
    }
    assert!(bench.sent.try_recv().is_err());
}
