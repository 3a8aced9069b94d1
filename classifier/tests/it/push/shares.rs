//! Several processes that share the partitions.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::process::Child;

use super::bench::{Bench, PATIENCE, QUICK, SECRET, user};
use super::hook::Hook;
use super::seqs;

/// Users enough that every partition has some.
const USERS: std::ops::RangeInclusive<i64> = 1..=16;

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
    assert_eq!(bench.owners().await.len(), 1);
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
