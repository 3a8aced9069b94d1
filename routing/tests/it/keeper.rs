//! A process and its home, from start to end.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use protocol::Home;
use routing::{
    Held, HomeKeeper, HomeSettings, HomeState, HomeTable, Redis, RouteTable, RoutingError,
    since_boot,
};

use crate::place::{
    Keys, LEASE, LONG, PATIENCE, Process, SHORT, STEADY, eventually, redis, route, settled, user,
};

/// I6, I7: three have three; one is killed and nobody else's moves; it returns and has its own back,
/// at once, under a higher incarnation.
#[tokio::test]
async fn i7_one_that_is_killed_moves_nobody_and_gets_its_home_back() {
    let (_keys, redis) = redis().await;
    settled(&redis, 8).await;
    let start = |name, lease| Process::with_lease(&redis, name, 8, lease);
    let (mut a, mut b, mut c) = (start("a", STEADY), start("b", LONG), start("c", STEADY));
    let before = [a.held().await, b.held().await, c.held().await];
    let homes: BTreeSet<Home> = before.iter().map(|held| held.home).collect();
    assert_eq!(homes.len(), 3);

    b.kill().await;
    let mut b = start("b", SHORT);
    let back = b.held().await;
    assert!(back.until < before[1].until, "it waited for its own lease");
    assert_eq!(back.home, before[1].home);
    assert!(back.incarnation > before[1].incarnation);

    // Killed again, and away for longer than its lease.
    b.kill().await;
    let table = HomeTable::new(&redis, 8);
    let read = || async { table.look().await.unwrap().table.slots };
    eventually("the end of b's lease", read, |slots| {
        slots
            .iter()
            .any(|slot| slot.partition == back.home && slot.ttl_left.is_zero())
    })
    .await;
    let mut d = start("d", STEADY);
    assert!(!homes.contains(&d.held().await.home));
    let mut b = start("b", STEADY);
    assert_eq!(b.held().await.home, before[1].home);
    for (process, before) in [(&mut a, before[0]), (&mut c, before[2])] {
        let now = process.renewed(before).await;
        assert_eq!(
            (now.home, now.incarnation),
            (before.home, before.incarnation)
        );
    }
}

#[tokio::test]
async fn an_ordinal_gets_its_own_home() {
    let (_keys, redis) = redis().await;
    settled(&redis, 4).await;
    let mut second = Process::with_lease(&redis, "was-1", 4, STEADY);
    assert_eq!(second.held().await.home, Home(2));
    let mut first = Process::with_lease(&redis, "was-0", 4, STEADY);
    assert_eq!(first.held().await.home, Home(1));
}

/// None free is said, and ends as soon as one is released.
#[tokio::test]
async fn none_free_is_a_reason_until_one_is_released() {
    let (_keys, redis) = redis().await;
    settled(&redis, 1).await;
    let mut a = Process::with_lease(&redis, "a", 1, LONG);
    let had = a.held().await;
    let mut b = Process::with_lease(&redis, "b", 1, SHORT);
    assert_eq!(
        b.waiting("held by others").await,
        "all 1 homes are held by others"
    );
    a.stop().await;
    let has = b.held().await;
    assert_eq!(has.home, had.home);
    assert!(has.incarnation > had.incarnation);
}

/// Two processes of one name don't chase each other: the later has the home, the earlier says so, and
/// follows when the later is gone.
#[tokio::test]
async fn one_that_was_replaced_says_so_and_waits() {
    let (_keys, redis) = redis().await;
    settled(&redis, 4).await;
    let mut first = Process::with_lease(&redis, "a", 4, SHORT);
    let before = first.held().await;
    let mut second = Process::with_lease(&redis, "a", 4, LONG);
    let after = second.held().await;
    assert_eq!(after.home, before.home);
    first.waiting("another process of the name a").await;
    second.state.mark_unchanged();
    for _ in 0..8 {
        let look = tokio::time::timeout(PATIENCE, first.views.changed()).await;
        look.expect("it looks again").unwrap();
    }
    let told = second.state.has_changed().unwrap();
    assert!(!told, "the successor keeps its home");
    second.stop().await;
    let again = first.held().await;
    assert_eq!(again.home, before.home);
    assert!(again.incarnation > after.incarnation);
}

/// A receiver that waits for news is not woken by renewals, though they are shown.
#[tokio::test]
async fn renewals_wake_nobody() {
    let (_keys, redis) = redis().await;
    settled(&redis, 4).await;
    let mut a = Process::with_lease(&redis, "a", 4, STEADY);
    let held = a.held().await;
    a.state.mark_unchanged();
    let once = a.renewed(held).await;
    let now = a.renewed(once).await;
    assert!(!a.state.has_changed().unwrap());
    assert!(now.is_live(since_boot()));
    assert!(!now.is_live(now.until));
}

/// More processes than homes at once: each home one owner, and the rest say why.
#[tokio::test]
async fn a_crowd_settles() {
    let (_keys, redis) = redis().await;
    settled(&redis, 16).await;
    let mut crowd: Vec<Process> = (0..20)
        .map(|n| Process::with_lease(&redis, &format!("w{n:02}x"), 16, LONG))
        .collect();
    let read = || async {
        let table = HomeTable::new(&redis, 16);
        table.look().await.unwrap().table.slots
    };
    let slots = eventually("16 owners", read, |slots| {
        slots.iter().all(|slot| !slot.ttl_left.is_zero())
    })
    .await;
    let owners: BTreeSet<_> = slots.iter().filter_map(|slot| slot.owner.clone()).collect();
    assert_eq!(owners.len(), 16);
    let mut waiting = 0;
    for (n, process) in crowd.iter_mut().enumerate() {
        if owners.contains(&format!("w{n:02}x")) {
            process.held().await;
        } else {
            process.waiting("all 16 homes are held").await;
            waiting += 1;
        }
    }
    assert_eq!(waiting, 4);
}

/// I6: sessions that come by the ten thousands cost nobody the home. Each route is written, however
/// many are before it, and no renewal waits behind them. Who is told that there are too many comes
/// again, as its client would; so do those few whose answer is late because the machine is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i6_a_crowd_of_routes_costs_no_home() {
    let keys = Keys::own().await;
    let redis = keys.connect();
    settled(&redis, 4).await;
    let mut keeper = Process::start(&redis, "a", 4);
    // By connections that no crowd uses.
    let (beside, mut state) = HomeKeeper::new(
        &keys.connect(),
        HomeSettings {
            name: "b".to_owned(),
            homes: 4,
            lease: LEASE,
        },
    );
    let widest = Arc::new(Mutex::new(Duration::ZERO));
    let seen = Arc::clone(&widest);
    let beside = beside.observed(move |apart| {
        let mut widest = seen.lock().unwrap();
        *widest = apart.max(*widest);
    });
    tokio::spawn(beside.run(std::future::pending()));
    for first in (1..).step_by(40_000).take(10) {
        let before = keeper.held().await;
        keeper.state.mark_unchanged();
        let held = |state: &HomeState| matches!(state, HomeState::Held(_));
        state.wait_for(held).await.unwrap();
        *widest.lock().unwrap() = Duration::ZERO;
        crowd(&redis, before, first).await;
        let told = keeper.state.has_changed().unwrap();
        if !told && keeper.held().await.incarnation == before.incarnation {
            return;
        }
        // On a machine that stands still, or has far too much to do, leases end without any crowd: then it has
        // shown nothing.
        let apart = *widest.lock().unwrap();
        let late = state.has_changed().unwrap() || apart > LEASE / 3;
        assert!(
            late,
            "the home was lost, and another renewed each {apart:?}"
        );
    }
    panic!("a machine that always stands still");
}

/// Routes of so many users at once, from this one on.
async fn crowd(redis: &Redis, before: Held, first: i64) {
    let routes = RouteTable::new(redis);
    let late = Arc::new(AtomicUsize::new(0));
    let mut crowd = tokio::task::JoinSet::new();
    for id in first..first + 40_000 {
        let (routes, mine) = (routes.clone(), route(before.home.0, before.incarnation));
        let late = Arc::clone(&late);
        crowd.spawn(async move {
            loop {
                match routes.write(user(id), "phone", &mine).await {
                    Err(RoutingError::Crowded { .. }) => {
                        let later = id.unsigned_abs() % 2_000;
                        tokio::time::sleep(Duration::from_millis(later)).await;
                    }
                    Err(error) if error.label() == "timeout" => {
                        late.fetch_add(1, Ordering::Relaxed);
                    }
                    written => break written,
                }
            }
        });
    }
    while let Some(written) = crowd.join_next().await {
        assert_eq!(written.unwrap().unwrap(), None);
    }
    // Whoever waited behind all others would be late, again and again.
    let late = late.load(Ordering::Relaxed);
    assert!(late < 10_000, "{late} answers were late");
}

/// Trap 9: nobody was heard for a while, and every lease has ended. A newcomer waits for those who had
/// a home before it takes one; they don't wait for it.
#[tokio::test]
async fn trap_9_after_a_silence_former_holders_come_first() {
    let (_keys, redis) = redis().await;
    settled(&redis, 1).await;
    // Who comes next finds a silence of more than half its lease, and a grace that a machine does not
    // sleep through.
    let (shorter, longer) = (Duration::from_secs(3), Duration::from_secs(5));
    let mut a = Process::with_lease(&redis, "a", 1, shorter);
    let had = a.held().await;
    a.kill().await;
    let table = HomeTable::new(&redis, 1);
    let read = || async { table.look().await.unwrap().table.slots };
    eventually("the end of a's lease", read, |slots| {
        slots[0].ttl_left.is_zero()
    })
    .await;
    let mut b = Process::with_lease(&redis, "b", 1, longer);
    b.waiting("those who had one come first").await;
    let mut a = Process::with_lease(&redis, "a", 1, longer);
    assert_eq!(a.held().await.home, had.home);
    b.waiting("held by others").await;
}

/// I8: every home has one reader. Nobody stewards while the grace runs; then each home without an owner
/// is one gateway's, also the one of a gateway that is killed, until it returns.
#[tokio::test]
async fn i8_a_home_without_an_owner_has_one_steward() {
    let (_keys, redis) = redis().await;
    let mut a = Process::start(&redis, "a", 6);
    let mut views = a.views.clone();
    let first = views.wait_for(Option::is_some).await.unwrap().clone();
    assert!(first.unwrap().in_grace());
    let mut b = Process::start(&redis, "b", 6);
    let (at_a, at_b) = (a.held().await.home, b.held().await.home);
    let of = |process: &Process| process.stewards().into_iter().collect::<BTreeSet<Home>>();
    let all: BTreeSet<Home> = (1..=6).map(Home).collect();
    let free: BTreeSet<Home> = all.difference(&[at_a, at_b].into()).copied().collect();
    eventually(
        "one steward for each free home",
        || async { (of(&a), of(&b)) },
        |(a, b)| a.is_disjoint(b) && (a | b) == free,
    )
    .await;
    b.kill().await;
    let left = &free | &[at_b].into();
    eventually(
        "the last one stewards all",
        || async { of(&a) },
        |a| *a == left,
    )
    .await;
    let mut b = Process::start(&redis, "b", 6);
    assert_eq!(b.held().await.home, at_b);
    eventually(
        "the owner's return",
        || async { of(&a) },
        |a| !a.contains(&at_b),
    )
    .await;
}
