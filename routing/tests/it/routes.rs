//! Routes as sessions write them and classifiers read them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use protocol::UserId;
use routing::{Lookup, ROUTE_CACHE, Restored, Route, RouteTable, RoutingError, since_boot};

use crate::place::{Keys, believed, eventually, known, redis, route, user};

/// What stands there.
async fn fresh(redis: &routing::Redis, user: UserId) -> Vec<Route> {
    let found = RouteTable::new(redis).current(&[user]).await.unwrap();
    let mut routes = found[0].to_vec();
    routes.sort_by_key(|route| route.home);
    routes
}

#[tokio::test]
async fn a_newer_session_of_a_device_replaces_the_older_and_names_it() {
    let (_keys, redis) = redis().await;
    let table = RouteTable::new(&redis);
    let (older, newer, phone) = (route(1, 10), route(2, 20), route(3, 30));
    assert_eq!(table.write(user(7), "laptop", &older).await.unwrap(), None);
    assert_eq!(table.write(user(7), "phone", &phone).await.unwrap(), None);
    assert_eq!(
        table.write(user(7), "laptop", &newer).await.unwrap(),
        Some(older)
    );
    assert_eq!(fresh(&redis, user(7)).await, [newer, phone]);

    // The same session, after its home was claimed again: nobody is to be told to close.
    let moved = Route {
        incarnation: 21,
        ..newer
    };
    assert_eq!(table.write(user(7), "laptop", &moved).await.unwrap(), None);
    assert_eq!(fresh(&redis, user(7)).await, [moved, phone]);
}

/// I9: a user has routes of so many devices and no more, but a device that has one may be replaced.
#[tokio::test]
async fn i9_a_user_has_so_many_routes() {
    let (_keys, redis) = redis().await;
    let table = RouteTable::new(&redis).with_most(2);
    let (laptop, phone, tablet, newer) = (route(1, 10), route(2, 20), route(3, 30), route(4, 40));
    table.write(user(7), "laptop", &laptop).await.unwrap();
    table.write(user(7), "phone", &phone).await.unwrap();
    let refused = table.write(user(7), "tablet", &tablet).await;
    assert!(
        matches!(refused, Err(RoutingError::Full)),
        "unexpected {refused:?}"
    );
    assert_eq!(fresh(&redis, user(7)).await, [laptop, phone]);
    table.write(user(8), "tablet", &tablet).await.unwrap();

    let older = table.write(user(7), "laptop", &newer).await.unwrap();
    assert_eq!(older, Some(laptop));
    assert_eq!(fresh(&redis, user(7)).await, [phone, newer]);
    assert!(table.remove(user(7), "phone", &phone).await.unwrap());
    table.write(user(7), "tablet", &tablet).await.unwrap();
    assert_eq!(fresh(&redis, user(7)).await, [tablet, newer]);
}

/// Trap 6: a session that ends, or a reader that found a dead route, removes what it means and not
/// what has been written in its place.
#[tokio::test]
async fn trap_6_only_the_very_route_is_removed() {
    let (_keys, redis) = redis().await;
    let table = RouteTable::new(&redis);
    let (dead, rewritten) = (route(1, 10), route(1, 11));
    table.write(user(7), "laptop", &dead).await.unwrap();
    assert_eq!(fresh(&redis, user(7)).await, [dead]);
    table.write(user(7), "laptop", &rewritten).await.unwrap();
    assert!(!table.remove(user(7), "laptop", &dead).await.unwrap());
    assert_eq!(table.prune(user(7), &[dead]).await.unwrap(), 0);
    assert_eq!(fresh(&redis, user(7)).await, [rewritten]);

    assert!(table.remove(user(7), "laptop", &rewritten).await.unwrap());
    assert!(!table.remove(user(7), "laptop", &rewritten).await.unwrap());
    assert_eq!(fresh(&redis, user(7)).await, []);
}

#[tokio::test]
async fn dead_routes_are_pruned_and_the_living_stay() {
    let (_keys, redis) = redis().await;
    let table = RouteTable::new(&redis);
    let routes = [route(1, 10), route(2, 10), route(3, 10)];
    for (device, route) in ["a", "b", "c"].into_iter().zip(&routes) {
        table.write(user(7), device, route).await.unwrap();
    }
    let dead = [routes[0], routes[2], route(3, 10)];
    assert_eq!(table.prune(user(7), &dead).await.unwrap(), 2);
    assert_eq!(fresh(&redis, user(7)).await, [routes[1]]);
    assert_eq!(table.prune(user(7), &[]).await.unwrap(), 0);
}

/// The audit heals a lost route, and never takes the device from another session, unless that is known
/// to be dead: a Redis that failed over to an older copy shows sessions that have long gone.
#[tokio::test]
async fn a_route_is_restored_unless_a_living_session_stands_there() {
    let (_keys, redis) = redis().await;
    let table = RouteTable::new(&redis);
    let (mine, newer) = (route(1, 10), route(2, 20));
    let restore_over = |route: Route, dead: Option<Route>| {
        let table = table.clone();
        async move {
            let restored = table.restore(user(7), "laptop", &route, dead.as_ref());
            restored.await.unwrap()
        }
    };
    let restore = |route: Route| restore_over(route, None);
    assert_eq!(restore(mine).await, Restored::Written);
    assert_eq!(restore(mine).await, Restored::Present);
    let moved = Route {
        incarnation: 11,
        ..mine
    };
    assert_eq!(restore(moved).await, Restored::Written);
    assert_eq!(fresh(&redis, user(7)).await, [moved]);
    table.write(user(7), "laptop", &newer).await.unwrap();
    assert_eq!(restore(moved).await, Restored::Replaced(newer));
    let other = route(2, 20);
    let over_another = restore_over(moved, Some(other)).await;
    assert_eq!(over_another, Restored::Replaced(newer), "compared");
    assert_eq!(fresh(&redis, user(7)).await, [newer]);
    let over_the_dead = restore_over(moved, Some(newer)).await;
    assert_eq!(over_the_dead, Restored::Written);
    assert_eq!(fresh(&redis, user(7)).await, [moved]);
}

/// I4: an answer, the empty one too, is used again within `ROUTE_CACHE` and never after it.
#[tokio::test]
async fn i4_an_answer_is_used_for_route_cache_and_no_longer() {
    let (_keys, redis) = redis().await;
    let (reader, writer) = (RouteTable::new(&redis), RouteTable::new(&redis));
    let mine = route(1, 10);
    believed(&redis).await;
    let issued_after = since_boot();
    assert_eq!(*known(&reader, user(7)).await, []);
    let issued_before = since_boot();
    writer.write(user(7), "laptop", &mine).await.unwrap();

    // It was looked for at some moment between these two.
    let look = || async {
        let asked = since_boot();
        let found = known(&reader, user(7)).await;
        (asked, since_boot(), found.to_vec())
    };
    let (_, answered, cached) = look().await;
    if answered < issued_after + ROUTE_CACHE {
        assert_eq!(cached, [], "the empty answer is kept as well");
    }
    let (_, answered, _) = eventually("the route", look, |(asked, _, found)| {
        let old = *asked >= issued_before + ROUTE_CACHE;
        assert!(!old || *found == [mine], "an answer that was too old");
        !found.is_empty()
    })
    .await;
    assert!(answered >= issued_after + ROUTE_CACHE);
}

/// Many users, some asked for twice, some with nothing: each is in the answer, whatever the number of
/// round trips. Many look-ups share the one connection, and none of them times out by waiting for the
/// others.
#[tokio::test]
async fn a_crowd_is_looked_up_at_once() {
    let (_keys, redis) = redis().await;
    let table = RouteTable::new(&redis);
    let mut expected: HashMap<UserId, Vec<Route>> = HashMap::new();
    for id in 1..=300 {
        let mine = route(1, id);
        table.write(user(id), "laptop", &mine).await.unwrap();
        expected.insert(user(id), vec![mine]);
    }
    believed(&redis).await;
    let users: Vec<UserId> = (1..=2_500).chain(1..=10).map(user).collect();
    let crowd = || async {
        let mut lookups = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (table, users) = (RouteTable::new(&redis), users.clone());
            lookups.spawn(async move { table.lookup(&users).await });
        }
        lookups.join_all().await
    };
    // A machine that stands still for long enough may fail one crowd, but not each.
    let whole = |crowd: &Vec<Lookup>| crowd.iter().all(|found| found.unknown.is_empty());
    let mut found = crowd().await;
    for _ in 0..9 {
        if whole(&found) {
            break;
        }
        // Who was not answered has told all that nobody is: until that is over there is nothing to try.
        let one = || async { table.fresh(&users[..1]).await };
        eventually("an answer", one, |found| found.failure.is_none()).await;
        found = crowd().await;
    }
    for Lookup {
        known,
        unknown,
        failure,
    } in found
    {
        assert!(unknown.is_empty(), "{} {failure:?}", unknown.len());
        assert_eq!(known.len(), 2_500);
        for (user, routes) in known {
            let expected = expected.get(&user).map_or(&[][..], Vec::as_slice);
            assert_eq!(*routes, *expected, "{user}");
        }
    }
}

/// I11: what nobody here wrote stops nobody's messages, and the session's own route takes its place.
#[tokio::test]
async fn i11_an_unreadable_route_is_left_out_and_overwritten() {
    let (keys, redis) = redis().await;
    let table = RouteTable::new(&redis);
    let (good, mine) = (route(1, 10), route(2, 20));
    table.write(user(263), "laptop", &good).await.unwrap();
    let mut connection = keys.connection().await;
    for (device, garbage) in [("phone", &b"nonsense"[..]), ("tablet", &b"\xff\x00"[..])] {
        let added: i64 = redis::cmd("HSET")
            .arg(keys.name("route:{r7}:263"))
            .arg(device)
            .arg(garbage)
            .query_async(&mut connection)
            .await
            .unwrap();
        assert_eq!(added, 1);
    }
    assert_eq!(fresh(&redis, user(263)).await, [good]);
    let restored = table.restore(user(263), "phone", &mine, None).await;
    let restored = restored.unwrap();
    assert_eq!(restored, Restored::Written);
    assert_eq!(table.write(user(263), "tablet", &mine).await.unwrap(), None);
    assert_eq!(fresh(&redis, user(263)).await, [good, mine, mine]);
}

/// Answers are shared, not copied.
#[tokio::test]
async fn a_cached_answer_is_the_same_one() {
    let (_keys, redis) = redis().await;
    let table = RouteTable::new(&redis);
    table.write(user(7), "laptop", &route(1, 1)).await.unwrap();
    believed(&redis).await;
    let first = known(&table, user(7)).await;
    let second = known(&table.clone(), user(7)).await;
    assert!(Arc::ptr_eq(&first, &second));
    let ask = || async { table.fresh(&[user(7)]).await };
    let fresh = eventually("an answer", ask, |found| found.unknown.is_empty()).await;
    assert!(!Arc::ptr_eq(&first, &fresh.known[&user(7)]));
}

/// Who keeps a look-up forgets it as soon as somebody writes a route, also after its line was cut;
/// nobody waits for what is kept to end.
#[tokio::test]
async fn a_hint_ends_what_is_kept() {
    let (keys, redis) = redis().await;
    let (reader, writer) = (RouteTable::new(&redis), RouteTable::new(&redis));
    let hearing = reader.clone();
    let task = tokio::spawn(async move { hearing.hear_hints(std::future::pending()).await });
    believed(&redis).await;
    let heard = || async { listeners(&keys).await };
    eventually("a listener", heard, |n| *n == 1).await;

    let mut last = Vec::new();
    for (n, cut) in [(1, false), (2, false), (3, true), (4, false)] {
        if cut {
            let cut = || async { cut_lines(&keys).await };
            eventually("a line that is cut", cut, |n| *n >= 1).await;
            eventually("a listener again", heard, |n| *n == 1).await;
        }
        let mut quickest = ROUTE_CACHE;
        // Without a hint none is quick; with it one may be slow, on a busy machine.
        for again in 0..3 {
            assert_eq!(*known(&reader, user(7)).await, *last, "kept");
            let mine = route(n, 10 + again);
            // A new session, then one whose route is made sure of.
            if n % 2 == 0 {
                writer.write(user(7), "laptop", &mine).await.unwrap();
            } else {
                writer.prune(user(7), &last).await.unwrap();
                writer
                    .restore(user(7), "laptop", &mine, None)
                    .await
                    .unwrap();
            }
            let written = Instant::now();
            let look = || async { known(&reader, user(7)).await };
            eventually("the new route", look, |found| **found == [mine]).await;
            let took = written.elapsed();
            println!("a route that was kept is replaced after {took:?}");
            last = vec![mine];
            quickest = quickest.min(took);
            if took < ROUTE_CACHE / 2 {
                break;
            }
        }
        assert!(quickest < ROUTE_CACHE / 2, "{quickest:?}");
    }
    task.abort();
}

async fn listeners(keys: &Keys) -> i64 {
    let mut redis = keys.connection().await;
    let mut ask = redis::cmd("PUBSUB");
    let ask = ask.arg("NUMSUB").arg(keys.name("routes"));
    let answer: (String, i64) = ask.query_async(&mut redis).await.unwrap();
    answer.1
}

/// Cuts the lines of all who listen, on the shared server: others make theirs again as well. Says how many
/// there were.
async fn cut_lines(keys: &Keys) -> i64 {
    let mut redis = keys.connection().await;
    let mut kill = redis::cmd("CLIENT");
    let kill = kill.arg("KILL").arg("TYPE").arg("PUBSUB");
    kill.query_async(&mut redis).await.unwrap()
}
