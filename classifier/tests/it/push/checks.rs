//! Who is told what, and users of whom nothing is known.

use std::time::Duration;

use protocol::Home;

use super::bench::{Bench, QUICK, user};

/// I8, I12: what a push says is read; nobody is told what they wrote, what they were not
/// there for, or what is not there.
#[tokio::test(flavor = "multi_thread")]
async fn i12_a_check_is_told_to_who_may_see_the_message() {
    let bench = Bench::new(QUICK).await;
    let ann = bench.store.create_or_get_user("ann").await.unwrap();
    assert_eq!(ann, user(1));
    for (who, seq) in [(ann, 2), (user(3), 2), (user(21), 2), (user(3), 999)] {
        bench.put_check(who, seq).await;
    }
    let running = bench.start().await;
    running.ended("delivered", 1).await;
    running.ended("nothing", 3).await;
    let requests = bench.hook.requests();
    assert_eq!(requests.len(), 1);
    let body = &requests[0].body;
    assert_eq!(body["user"], 3);
    let message = &body["messages"][0];
    assert_eq!((&message["room"], &message["seq"]), (&7.into(), &2.into()));
    assert_eq!(message["sender_name"], "ann");
    assert_eq!(message["preview"], "message 2");
    assert_eq!(message["at"], "2023-11-14T22:13:20.000Z");
    running.stop().await;
    assert_eq!(bench.committed().await, 4);
}

/// I8: nobody is pushed who only can't be seen: where routes may be missing, they are waited for; the
/// user's later messages wait behind the first.
#[tokio::test(flavor = "multi_thread")]
async fn i8_of_whom_nothing_is_known_is_waited_for() {
    // Until somebody has come back while nothing was believed: who is too late for that may be pushed.
    let (bench, running) = loop {
        let bench = Bench::unbelieved(QUICK, Duration::ZERO).await;
        bench.put(user(3), 1..=2).await;
        bench.put(user(4), 1..=2).await;
        // This finds the shards new: from here on nothing is believed of them for a while.
        let running = bench.start().await;
        bench.connect(user(4)).await;
        if bench.is_unbelieved(user(4)).await {
            break (bench, running);
        }
        running.stop().await;
    };
    running.ended("delivered", 2).await;
    running.ended("connected", 2).await;
    assert_eq!(
        bench.reminders(Home(1), 2).await,
        [(vec![4], 1), (vec![4], 2)]
    );
    for request in bench.hook.requests() {
        assert_eq!(request.body["user"], 3);
    }
    running.stop().await;
    assert_eq!(bench.committed().await, 4);
}
