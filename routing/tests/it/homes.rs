//! The leases themselves: one script each, by Redis's clock.

use std::time::Duration;

use protocol::Home;
use routing::HomeTable;
use routing::decide::Slot;

use crate::place::{Keys, LONG, eventually, redis};

const BRIEF: Duration = Duration::from_millis(100);
const HOME: Home = Home(2);

/// What the table says about [`HOME`] to someone who holds nothing.
async fn slot(table: &HomeTable) -> Slot<Home> {
    let read = table.look().await.unwrap().table;
    assert_eq!(read.slots.len(), 3);
    assert_eq!(read.slots[1].partition, HOME);
    read.slots[1].clone()
}

#[tokio::test]
async fn a_claim_is_shown_renewed_and_refused_to_others() {
    let (_keys, redis) = redis().await;
    let table = HomeTable::new(&redis, 3);
    assert_eq!(slot(&table).await.owner, None);

    let claim = table.claim(HOME, "a:1", 0, LONG).await.unwrap().unwrap();
    let first = slot(&table).await;
    assert_eq!(first.owner.as_deref(), Some("a:1"));
    assert_eq!(first.claim, claim);
    assert!(first.ttl_left <= LONG && !first.ttl_left.is_zero());
    assert_eq!(table.claim(HOME, "b", 0, LONG).await.unwrap(), None);

    let longer = LONG * 60;
    table.take_part("a:1", claim, longer).await.unwrap();
    assert!(slot(&table).await.ttl_left > LONG);
    // Another incarnation, or another name, renews nothing.
    table.take_part("a:1", claim + 1, longer * 2).await.unwrap();
    table.take_part("b", claim, longer * 2).await.unwrap();
    assert!(slot(&table).await.ttl_left <= longer);
}

/// I6: of many at once, one.
#[tokio::test]
async fn i6_one_of_many_claims_at_once_succeeds() {
    let (_keys, redis) = redis().await;
    let table = HomeTable::new(&redis, 3);
    let mut claims = tokio::task::JoinSet::new();
    for n in 0..50 {
        let table = table.clone();
        claims.spawn(async move { table.claim(HOME, &format!("w{n}"), 0, LONG).await.unwrap() });
    }
    let claims = claims.join_all().await;
    assert_eq!(claims.iter().flatten().count(), 1);
}

/// I6: once a lease has ended, its routes may be taken for dead: the same incarnation never comes back.
#[tokio::test]
async fn i6_a_lease_that_has_ended_is_not_renewed() {
    let (_keys, redis) = redis().await;
    let table = HomeTable::new(&redis, 3);
    let claim = table.claim(HOME, "a", 0, BRIEF).await.unwrap().unwrap();
    eventually("the end", || slot(&table), |slot| slot.ttl_left.is_zero()).await;
    table.take_part("a", claim, LONG).await.unwrap();
    let ended = slot(&table).await;
    assert!(ended.ttl_left.is_zero());
    assert_eq!((ended.owner.as_deref(), ended.claim), (Some("a"), claim));

    let next = table.claim(HOME, "b", 0, LONG).await.unwrap().unwrap();
    assert!(next > claim);
}

/// A restarted process does not wait for its predecessor's lease; the predecessor, if it is not dead,
/// notices, and can't take the home back.
#[tokio::test]
async fn another_process_of_the_name_takes_over_at_once() {
    let (_keys, redis) = redis().await;
    let table = HomeTable::new(&redis, 3);
    let old = table.claim(HOME, "a", 0, LONG).await.unwrap().unwrap();
    let new = table.claim(HOME, "a", 0, LONG).await.unwrap().unwrap();
    assert!(new > old);
    assert_eq!(slot(&table).await.claim, new);
    assert_eq!(table.claim(HOME, "a", old, LONG).await.unwrap(), None);
    assert!(!table.release(HOME, "a", old).await.unwrap());
    assert_eq!(slot(&table).await.claim, new);
}

#[tokio::test]
async fn a_release_is_immediate_and_remembers_who_had_it() {
    let (_keys, redis) = redis().await;
    let table = HomeTable::new(&redis, 3);
    let claim = table.claim(HOME, "a", 0, LONG).await.unwrap().unwrap();
    assert!(!table.release(HOME, "b", claim).await.unwrap());
    assert!(table.release(HOME, "a", claim).await.unwrap());
    let released = slot(&table).await;
    assert_eq!(released.owner.as_deref(), Some("a"));
    assert_eq!(released.claim, claim);
    assert!(released.ttl_left.is_zero());
    assert!(table.claim(HOME, "b", 0, LONG).await.unwrap().unwrap() > claim);
}

/// Trap 9: a Redis that has forgotten everything gives out no number twice: the caller's own and the
/// clock are beneath each new one.
#[tokio::test]
async fn trap_9_incarnations_grow_whatever_redis_has_forgotten() {
    let (keys, redis) = redis().await;
    let table = HomeTable::new(&redis, 3);
    let before = table.claim(HOME, "a", 0, LONG).await.unwrap().unwrap();
    forget(&keys, before).await;
    assert_eq!(slot(&table).await.owner, None);
    let by_clock = table.claim(HOME, "b", 0, LONG).await.unwrap().unwrap();
    assert!(by_clock > before);

    forget(&keys, by_clock).await;
    let known = by_clock + 1_000_000_000;
    let by_caller = table.claim(HOME, "b", known, LONG).await.unwrap();
    assert_eq!(by_caller, Some(known + 1));
    // And above what stands in the table, when that is ahead of the clock.
    let again = table.claim(HOME, "b", 0, LONG).await.unwrap();
    assert_eq!(again, Some(known + 2));
}

/// Redis loses its memory, and comes back no sooner than in the next ms after `claim`: a number is the
/// clock's ms + 1, so within one ms the clock alone could not tell two claims apart.
async fn forget(keys: &Keys, claim: i64) {
    let removed: i64 = keys.ask("DEL", "{homes}:table").await;
    assert_eq!(removed, 1);
    let connection = keys.connection().await;
    let clock = || {
        let mut connection = connection.clone();
        async move {
            let (seconds, micros): (i64, i64) = redis::cmd("TIME")
                .query_async(&mut connection)
                .await
                .unwrap();
            seconds * 1_000 + micros / 1_000
        }
    };
    eventually("the next ms", clock, |now| *now >= claim).await;
}
