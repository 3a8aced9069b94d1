//! `classifier push` on real servers, and those it tells, played: a webhook and FCM that fail at will.

mod apart;
mod bench;
mod changes;
mod checks;
mod devices;
mod fcm;
mod hook;
mod http;
mod shares;
mod talk;

use std::time::{Duration, Instant};

use protocol::Home;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use bench::{Bench, QUICK, user};
use hook::Answer;

/// Seqs of the messages in a request.
fn seqs(body: &Value) -> Vec<i64> {
    let messages = body["messages"].as_array().unwrap().iter();
    messages.map(|one| one["seq"].as_i64().unwrap()).collect()
}

/// Who is away is told, signed, in order and in batches; who has come back is not; and what is done is
/// committed.
#[tokio::test(flavor = "multi_thread")]
async fn i8_who_is_away_is_told_in_order_and_who_is_back_is_not() {
    let bench = Bench::new(QUICK).await;
    // The sender is 1, and the first to be made.
    let ann = bench.store.create_or_get_user("ann").await.unwrap();
    assert_eq!(ann, user(1));
    bench.connect(user(4)).await;
    bench.put(user(4), 1..=3).await;
    bench.put(user(3), 1..=120).await;
    let running = bench.start().await;
    running.ended("delivered", 120).await;
    running.ended("connected", 3).await;
    // Whose they are from then on: one record without a value each.
    let reminders = bench.reminders(Home(1), 3).await;
    assert_eq!(reminders, [1, 2, 3].map(|seq| (vec![4], seq)));

    let mut told = Vec::new();
    for request in bench.hook.requests() {
        assert!(request.is_signed(bench::SECRET), "{request:?}");
        assert!(!request.is_signed("another secret"), "{request:?}");
        assert_eq!(request.body["user"], 3);
        assert_eq!(request.body["messages"][0]["sender_name"], "ann");
        let seqs = seqs(&request.body);
        assert!(seqs.len() <= 50, "{seqs:?}");
        told.extend(seqs);
    }
    assert_eq!(told, (1..=120).collect::<Vec<_>>());
    running.stop().await;
    assert_eq!(bench.committed().await, 123);
}

/// A failing webhook is asked again until it takes them: nothing is lost, each user's order stays, and
/// nobody waits for another.
#[tokio::test(flavor = "multi_thread")]
async fn i8_a_webhook_that_fails_is_asked_again() {
    let bench = Bench::impatient().await;
    // Until the other user has been told.
    bench.hook.always_for(3, Answer::Status(500));
    bench
        .hook
        .next_for(3, &[Answer::Status(503), Answer::Slow, Answer::Hangup]);
    bench.put(user(3), 1..=2).await;
    let running = bench.start().await;
    bench.hook.asked(3, 1).await;
    // Behind what fails, and beside it.
    bench.put(user(3), 3..=4).await;
    bench.put(user(5), 1..=1).await;
    running.ended("delivered", 1).await;
    bench.hook.always_for(3, Answer::Status(200));
    running.ended("delivered", 5).await;
    let requests = bench.hook.requests();
    let taken = requests.iter().filter(|request| request.taken);
    let of = |id| {
        taken
            .clone()
            .filter(move |request| request.body["user"] == id)
    };
    assert_eq!(
        of(3).flat_map(|one| seqs(&one.body)).collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    assert_eq!(of(5).count(), 1);
    let place = |id| {
        requests
            .iter()
            .position(|one| one.taken && one.body["user"] == id)
    };
    assert!(place(5) < place(3), "{requests:?}");
    assert!(running.requests("webhook", "again") >= 3);
    running.stop().await;
}

/// I11: what is refused for good, fails for too long, or is no push, goes to `chat-dlq` with its reason
/// and origin, and everything behind it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn i11_what_can_not_be_told_is_put_aside() {
    let bench = Bench::new(Duration::from_secs(2)).await;
    bench.hook.always_for(3, Answer::Status(422));
    bench.hook.always_for(5, Answer::Status(500));
    bench.put(user(3), 1..=2).await;
    bench.put(user(5), 1..=1).await;
    bench.put(user(6), 1..=1).await;
    bench.garbage(user(6)).await;
    let running = bench.start().await;
    running.ended("given_up", 3).await;
    running.ended("undecodable", 1).await;
    running.ended("delivered", 1).await;
    let mut letters = bench.letters(4).await;
    letters.sort();
    let given_up = |id: i64| (String::from("given_up"), id.to_string());
    let garbage = (String::from("undecodable"), String::from("6"));
    assert_eq!(letters, [given_up(3), given_up(3), given_up(5), garbage]);
    // What is refused is not asked again.
    let requests = bench.hook.requests();
    let refused = requests.iter().filter(|one| one.body["user"] == 3);
    assert_eq!(
        refused.flat_map(|one| seqs(&one.body)).collect::<Vec<_>>(),
        [1, 2]
    );
    assert!(running.requests("webhook", "again") >= 1);
    running.stop().await;
    assert_eq!(bench.committed().await, 5);
}

/// I8: a process that is stopped while the webhook fails commits nothing that it has not told: the
/// next one tells it.
#[tokio::test(flavor = "multi_thread")]
async fn i8_what_was_not_told_is_told_by_the_next_process() {
    let bench = Bench::new(QUICK).await;
    bench.hook.always_for(3, Answer::Status(500));
    bench.put(user(5), 1..=1).await;
    bench.put(user(3), 1..=1).await;
    let running = bench.start().await;
    running.ended("delivered", 1).await;
    bench.hook.asked(3, 1).await;
    running.stop().await;
    assert_eq!(bench.committed().await, 1);

    bench.hook.always_for(3, Answer::Status(200));
    let running = bench.start().await;
    running.ended("delivered", 1).await;
    let requests = bench.hook.requests();
    assert!(
        requests
            .last()
            .is_some_and(|one| one.taken && one.body["user"] == 3),
        "{requests:?}"
    );
    running.stop().await;
    assert_eq!(bench.committed().await, 2);
}

/// Somebody who comes back within the wait is not pushed.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_within_the_wait_is_not_pushed() {
    let wait = Duration::from_secs(2);
    let bench = Bench::waiting(QUICK, wait).await;
    let running = bench.start().await;
    // Until somebody has come back in time, by a clock that is read before the push is there: who is too late for it may
    // be pushed.
    let mut users = 3..=20;
    let back = loop {
        let (id, began) = (users.next().unwrap(), Instant::now());
        bench.put(user(id), 1..=1).await;
        bench.connect(user(id)).await;
        if began.elapsed() < wait.mul_f64(0.9) {
            break id;
        }
    };
    let put = u64::try_from(back - 2).unwrap();
    running.all_ended(put).await;
    let told = bench.hook.requests();
    assert!(told.iter().all(|one| one.body["user"] != back), "{told:?}");
    running.stop().await;
}

/// The program itself: refused without a webhook; with one it tells, and on SIGTERM commits and ends
/// well.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_tells_until_it_is_asked_to_stop() {
    let bench = Bench::new(QUICK).await;
    bench.put(user(3), 1..=1).await;
    let without = bench.program(&[]).wait_with_output().await.unwrap();
    assert_eq!(without.status.code(), Some(64));
    let told = String::from_utf8(without.stderr).unwrap();
    for name in ["push.webhook_url", "push.fcm_credentials"] {
        assert!(told.contains(name), "{name} is not in:\n{told}");
    }

    let url = bench.url();
    let program = bench.program(&[("URL", &url), ("SECRET", bench::SECRET)]);
    bench.hook.asked(3, 1).await;
    let pid = program
        .id()
        .and_then(|pid| Pid::from_raw(pid.try_into().unwrap()));
    kill_process(pid.unwrap(), Signal::TERM).unwrap();
    let ended = program.wait_with_output().await.unwrap();
    assert!(
        ended.status.success(),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    assert!(bench.hook.requests()[0].is_signed(bench::SECRET));
    assert_eq!(bench.committed().await, 1);
    // What it had is free at once.
    assert!(bench.owners().await.is_empty());
}
