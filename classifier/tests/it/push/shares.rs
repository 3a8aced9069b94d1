//! Several processes that share the partitions.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::process::Child;

use super::bench::{Bench, PATIENCE, QUICK, SECRET, user};
use super::hook::{Answer, Hook};
use super::seqs;

/// Users enough that every partition has some.
const USERS: std::ops::RangeInclusive<i64> = 2..=17;

/// Waits until every user has been told all of `1..=last`.
async fn told(hook: &Hook, last: i64) {
    let began = Instant::now();
    loop {
        let mut highest: BTreeMap<i64, i64> = USERS.map(|id| (id, 0)).collect();
        for request in hook.requests() {
            let user = request.body["user"].as_i64().unwrap();
            let seen = highest.get_mut(&user).unwrap();
            *seen = (*seen).max(seqs(&request.body).into_iter().max().unwrap());
        }
        if highest.values().all(|seen| *seen == last) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{highest:?} of {last}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn program(bench: &Bench) -> Child {
    bench.program(&[("URL", &bench.url()), ("SECRET", SECRET)])
}

/// I8, I7: two processes share the partitions; one that is killed is followed by the other, one that
/// comes takes over its share, and each user is told everything, nothing later before what is
/// earlier. What was under way at the kill may come twice.
#[tokio::test(flavor = "multi_thread")]
async fn i8_who_reads_a_partition_may_change() {
    let bench = Bench::new(QUICK).await;
    let put = async |seq: i64| {
        for id in USERS {
            bench.put(user(id), seq..=seq).await;
        }
    };
    put(1).await;
    let mut killed = program(&bench).await;
    told(&bench.hook, 1).await;
    bench.until_owners(1).await;
    let stays = program(&bench).await;
    bench.until_owners(2).await;
    put(2).await;
    told(&bench.hook, 2).await;

    killed.start_kill().unwrap();
    put(3).await;
    killed.wait().await.unwrap();
    told(&bench.hook, 3).await;
    bench.until_owners(1).await;
    put(4).await;
    told(&bench.hook, 4).await;
    drop(stays);

    let mut first: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for request in bench.hook.requests() {
        let user = request.body["user"].as_i64().unwrap();
        let seen = first.entry(user).or_default();
        for seq in seqs(&request.body) {
            if !seen.contains(&seq) {
                seen.push(seq);
            }
        }
    }
    for (user, seen) in first {
        assert_eq!(seen, [1, 2, 3, 4], "of {user}");
    }
}

/// I7: what somebody else has, whatever the reason, is left to them: nothing of it is told or committed
/// any more, until it is free again.
#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_has_is_not_told() {
    let bench = Bench::new(QUICK).await;
    bench.hook.always_for(3, Answer::Status(500));
    bench.put(user(3), 1..=1).await;
    let running = bench.start().await;
    bench.hook.asked(3, 1).await;
    bench.until_owners(1).await;
    let before = bench.committed().await;
    for partition in bench.partitions() {
        bench.steal(partition).await;
    }
    running.lost(4).await;
    // What was under way is let go between two tries, and what comes is not read.
    running.idle().await;
    bench.hook.always_for(3, Answer::Status(200));
    bench.put(user(3), 2..=2).await;
    bench.put(user(5), 1..=1).await;
    assert_eq!(bench.owners().await.len(), 1);
    assert!(bench.hook.requests().iter().all(|one| !one.taken));
    assert_eq!(bench.committed().await, before);
    for partition in bench.partitions() {
        bench.give_back(partition).await;
    }
    running.ended("delivered", 3).await;
    running.stop().await;
    assert_eq!(bench.committed().await, 3);
    assert!(bench.owners().await.is_empty());
}
