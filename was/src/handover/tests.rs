//! Where orphans go, on what is known of the routes.

use std::sync::Mutex;

use protocol::{DeliveryHeaders, DlqReason, PushRecord, header};
use service::kafka::{Delivery, Outgoing, Placed};

use super::played::{LEASE, Log, Sent, handover, orphan, route, user, view};
use super::*;
use crate::socket::Mailbox;

fn handed_to(on: usize, pushed: usize) -> Handed {
    Handed {
        on,
        pushed,
        ..Handed::default()
    }
}

/// The same by another way to Kafka.
fn publishing<R, P, Q>(it: Handover<R, P>, publisher: impl FnOnce(P) -> Q) -> Handover<R, Q> {
    Handover {
        publisher: publisher(it.publisher),
        routes: it.routes,
        topics: it.topics,
        registry: it.registry,
        state: it.state,
        views: it.views,
        observed: it.observed,
        fatal: it.fatal,
    }
}

/// I8, trap 6: each orphan goes to every home with a living route of its user, else it becomes a push;
/// dead routes are removed, the others stay.
#[tokio::test]
async fn i8_trap_6_to_the_living_and_the_dead_are_removed() {
    let handover = handover();
    let (old, ended, lost) = (route(2, 19), route(3, 30), route(1, 10));
    handover.stand(1, &[route(2, 20), old]);
    handover.stand(2, &[ended]);
    handover.stand(3, &[lost]);
    handover.stand(4, &[route(2, 20), route(2, 20)]);
    let orphans = [
        orphan(1, 5),
        orphan(2, 5),
        orphan(3, 5),
        orphan(4, 5),
        orphan(4, 6),
        orphan(5, 6),
    ];
    let (handed, _) = handover.hand_on(&orphans, Form::Shared).await;
    assert_eq!(handed, handed_to(3, 3));
    let expected = [
        Sent::To(2, 5, vec![1, 4]),
        Sent::To(2, 6, vec![4]),
        Sent::Push(2, 5),
        Sent::Push(3, 5),
        Sent::Push(5, 6),
    ];
    assert_eq!(handover.sent(), expected);
    let mut pruned = handover.routes.pruned.lock().unwrap().clone();
    pruned.sort_by_key(|(user, _)| *user);
    let dead = [(1, old), (2, ended), (3, lost)];
    assert_eq!(pruned, dead.map(|(id, route)| (user(id), vec![route])));
    assert_eq!(handover.observed.routes_pruned.get(), 3);
    let custody = &handover.observed.custody;
    assert_eq!((custody.handed_on.get(), custody.pushed.get()), (3, 3));
    assert_eq!(*handover.routes.looks.lock().unwrap(), 0);
}

/// A session that is here gets it by way of this home, whatever claim its route is of: its reader takes
/// it into custody.
#[tokio::test]
async fn to_a_session_here_by_way_of_its_home() {
    let handover = handover();
    for (id, route) in [(1, route(1, 10)), (2, route(3, 30))] {
        let mailbox = Arc::new(Mailbox::default());
        handover.registry.enter(user(id), route.session, &mailbox);
        handover.stand(id, &[route]);
    }
    handover
        .hand_on(&[orphan(1, 5), orphan(2, 5)], Form::Shared)
        .await;
    assert_eq!(handover.sent(), [Sent::To(1, 5, vec![1, 2])]);
    assert_eq!(handover.routes.pruned.lock().unwrap().len(), 0);
}

/// A route above the table: the table is read once more, and then decides.
#[tokio::test]
async fn a_claim_above_the_table_is_looked_at_again() {
    let handover = handover();
    handover.stand(1, &[route(3, 31)]);
    handover.stand(2, &[route(2, 21)]);
    let newer = view(&[(10, true), (22, true), (31, true)]);
    *handover.routes.table.lock().unwrap() = Some(newer);
    handover
        .hand_on(&[orphan(1, 5), orphan(2, 5)], Form::Shared)
        .await;
    assert_eq!(handover.sent(), [Sent::To(3, 5, vec![1]), Sent::Push(2, 5)]);
    assert_eq!(*handover.routes.looks.lock().unwrap(), 1);
}

/// Trap 9: in the grace no route to another is dead: its home has a reader afterwards.
#[tokio::test]
async fn trap_9_in_the_grace_no_route_is_dead() {
    let mut handover = handover();
    let mut graced = view(&[(10, true), (20, false), (30, false)]);
    graced.grace_left = LEASE;
    handover.views = watch::channel(Some(Arc::new(graced))).1;
    handover.stand(1, &[route(2, 20)]);
    handover.stand(2, &[route(3, 29)]);
    handover
        .hand_on(&[orphan(1, 5), orphan(2, 5)], Form::Shared)
        .await;
    assert_eq!(
        handover.sent(),
        [Sent::To(2, 5, vec![1]), Sent::To(3, 5, vec![2])]
    );
    assert_eq!(handover.routes.pruned.lock().unwrap().len(), 0);
}

/// I8: routes that can't be read, or a table that never was, are no reason to wait: whoever pushes looks.
#[tokio::test]
async fn i8_without_redis_all_is_pushed_with_a_check() {
    let mut handover = handover();
    handover.stand(1, &[route(2, 20)]);
    *handover.routes.table.lock().unwrap() = None;
    for known in [true, false] {
        if !known {
            handover.views = watch::channel(None).1;
        }
        let (handed, _) = handover.hand_on(&[orphan(1, 5)], Form::Shared).await;
        assert_eq!(handed, handed_to(0, 1));
        assert_eq!(handover.sent(), [Sent::Push(1, 5)]);
    }
    assert_eq!(handover.observed.route_failures.get(), 2);
}

/// I8: a batch of which something was not acknowledged is not done; it is handed on again by a new
/// look-up, until it is.
#[tokio::test]
async fn i8_what_is_not_acknowledged_is_handed_on_again() {
    let handover = Arc::new(handover());
    let timed_out = || (false, ProduceError::TimedOut);
    let refuse = |refusals| *handover.publisher.refusals.lock().unwrap() = refusals;
    refuse(vec![timed_out()]);
    let (_, left) = handover.hand_on(&[orphan(1, 5)], Form::Shared).await;
    assert_eq!(left.unwrap().error, ProduceError::TimedOut);
    assert_eq!(handover.observed.custody.pushed.get(), 0);

    refuse(vec![(true, ProduceError::Full), timed_out()]);
    let (stop, busy) = (CancellationToken::new(), Arc::clone(&handover));
    let handing = tokio::spawn(async move { busy.until_handed(&[orphan(1, 5)], &stop).await });
    handover.failures(1).await;
    // Meanwhile the user has come back.
    handover.stand(1, &[route(2, 20)]);
    assert!(handing.await.unwrap());
    assert_eq!(handover.sent(), [Sent::To(2, 5, vec![1])]);
    assert_eq!(handover.observed.hand_on_failures.get(), 2);
    assert!(!handover.fatal.is_cancelled());
}

/// I8, I9: one record that fails keeps only those waiting whom it is for; nobody else is told again.
#[tokio::test]
async fn i8_i9_only_what_failed_is_handed_on_again() {
    let handover = handover();
    for id in [1, 2, 4] {
        handover.stand(id, &[route(2, 20)]);
    }
    let refusals = vec![(false, ProduceError::TimedOut)];
    *handover.publisher.refusals.lock().unwrap() = refusals;
    let orphans = [orphan(1, 5), orphan(2, 6), orphan(3, 6), orphan(4, 5)];
    let (handed, left) = handover.hand_on(&orphans, Form::Shared).await;
    assert_eq!(handed, handed_to(1, 1));
    let left = left.unwrap().orphans;
    assert_eq!(left, [orphan(1, 5), orphan(4, 5)]);
    let rest = [Sent::To(2, 6, vec![2]), Sent::Push(3, 6)];
    assert_eq!(handover.sent(), rest);

    let refusals = vec![(false, ProduceError::TimedOut)];
    *handover.publisher.refusals.lock().unwrap() = refusals;
    let never = CancellationToken::new();
    assert!(handover.until_handed(&orphans, &never).await);
    let [six, push] = rest;
    assert_eq!(handover.sent(), [six, push, Sent::To(2, 5, vec![1, 4])]);
    let custody = &handover.observed.custody;
    assert_eq!((custody.handed_on.get(), custody.pushed.get()), (4, 2));
}

/// I9: a queue that is full of what was just sent is waited for; it fails only one that sent nothing.
#[tokio::test]
async fn i9_a_full_queue_is_waited_for() {
    let handover = handover();
    handover.stand(1, &[route(2, 20)]);
    let full = || (true, ProduceError::Full);
    handover.publisher.refusals.lock().unwrap().push(full());
    let (_, left) = handover.hand_on(&[orphan(1, 5)], Form::Shared).await;
    assert_eq!(left.unwrap().error, ProduceError::Full);
    // Not at the first record, but at the second.
    let handover = publishing(handover, |_| Gate::default());
    let orphans: Vec<Orphan> = (1..=20).map(|seq| orphan(1, seq)).collect();
    let (handed, left) = handover.hand_on(&orphans, Form::Shared).await;
    assert_eq!(handed, handed_to(20, 0));
    assert!(left.is_none(), "{left:?}");
}

/// I8, I10, I11: records that Kafka calls too large are not tried for ever: each recipient has one of its own;
/// if that is too large as well, a dead letter; and who can't have even that holds up nobody.
#[tokio::test]
async fn i8_i10_i11_what_is_too_large_comes_to_an_end() {
    let sent = async |most| {
        let handover = handover();
        handover.stand(1, &[route(2, 20)]);
        handover.stand(2, &[route(2, 20)]);
        let handover = publishing(handover, |log| Narrow { most, log });
        let orphans = [orphan(1, 5), orphan(2, 5), orphan(3, 5)];
        let never = CancellationToken::new();
        assert!(handover.until_handed(&orphans, &never).await);
        let records = std::mem::take(&mut *handover.publisher.log.records.lock().unwrap());
        let (push, receive) = (handover.topics.push(), handover.topics.receive());
        let of = |topic: &Arc<str>| records.iter().filter(|r| r.topic == *topic).count();
        let letters = records.iter().filter(|r| r.topic == *handover.topics.dlq());
        let letters: Vec<Outgoing> = letters.cloned().collect();
        let custody = &handover.observed.custody;
        let counted = [
            custody.handed_on.get(),
            custody.pushed.get(),
            custody.dead_lettered.get(),
            custody.given_up.get(),
        ];
        (of(receive), of(push), letters, counted)
    };
    let single = Narrow::size_of_single();
    // A push has no headers: it is never too large here.
    for (most, on, lettered, outcomes) in [
        (usize::MAX, 1, 0, [2, 1, 0, 0]),
        (single, 2, 0, [2, 1, 0, 0]),
        (single - 1, 0, 2, [0, 1, 2, 0]),
        (0, 0, 0, [0, 1, 0, 2]),
    ] {
        let (to_homes, pushed, letters, counted) = sent(most).await;
        assert_eq!(
            (to_homes, pushed, letters.len()),
            (on, 1, lettered),
            "{most}"
        );
        // Each of the three in one outcome.
        assert_eq!(counted, outcomes, "{most}");
    }
    let (_, _, letters, _) = sent(single - 1).await;
    for (letter, id) in letters.iter().zip(1..) {
        let reason = DlqReason::Undeliverable.as_str().as_bytes();
        assert_eq!(letter.headers[0], (header::REASON, reason.into()));
        let orphan = orphan(id, 5);
        let push = PushRecord::check(orphan.user, orphan.room, orphan.seq);
        assert_eq!(letter.payload, Some(push.encode()));
    }
}

/// Takes records of so many bytes of headers, and no larger ones.
struct Narrow {
    most: usize,
    log: Log,
}

impl Narrow {
    fn size(record: &Outgoing) -> usize {
        record.headers.iter().map(|(_, value)| value.len()).sum()
    }

    /// A record for a home with one recipient.
    fn size_of_single() -> usize {
        let orphan = orphan(1, 5);
        let headers = DeliveryHeaders::event(orphan.room, orphan.seq, vec![orphan.user]);
        headers.encode().iter().map(|(_, value)| value.len()).sum()
    }
}

impl Publish for Narrow {
    fn publish(&self, record: &Outgoing) -> Result<Delivery, ProduceError> {
        match Self::size(record) <= self.most {
            true => self.log.publish(record),
            false => Ok(Delivery::known(Err(ProduceError::TooLarge))),
        }
    }
}

/// A queue that is full after each three.
#[derive(Default)]
struct Gate(Mutex<usize>);

impl Publish for Gate {
    fn publish(&self, _: &Outgoing) -> Result<Delivery, ProduceError> {
        let mut queued = self.0.lock().unwrap();
        if *queued == 3 {
            *queued = 0;
            return Err(ProduceError::Full);
        }
        *queued += 1;
        let (partition, offset) = (0, 0);
        Ok(Delivery::known(Ok(Placed { partition, offset })))
    }
}

/// Trap 5: who stops has not handed on: the offset stays where it is.
#[tokio::test]
async fn trap_5_who_is_stopped_has_not_handed_on() {
    let handover = handover();
    let refusals = vec![(false, ProduceError::TimedOut); 1_000];
    *handover.publisher.refusals.lock().unwrap() = refusals;
    let stop = CancellationToken::new();
    let orphans = [orphan(1, 5)];
    let (done, ()) = tokio::join!(handover.until_handed(&orphans, &stop), async {
        handover.failures(2).await;
        stop.cancel();
    });
    assert!(!done);
    assert_eq!(handover.sent(), []);
}

/// A producer that failed for good ends the process.
#[tokio::test]
async fn a_producer_that_failed_for_good_is_told() {
    let handover = handover();
    let fatal = ProduceError::Fatal("fenced".to_owned());
    handover
        .publisher
        .refusals
        .lock()
        .unwrap()
        .push((true, fatal));
    handover.hand_on(&[orphan(1, 5)], Form::Shared).await;
    assert!(handover.fatal.is_cancelled());
}
