//! Leases of `chat-push`.

use std::time::Duration;

use store::PushTable;

use crate::place::{Place, until};

const LONG: Duration = Duration::from_secs(30);

fn owners(table: &PushTable) -> Vec<Option<&str>> {
    let rows = table.partitions.iter();
    rows.map(|row| row.owner.as_deref().filter(|_| !row.ttl_left.is_zero()))
        .collect()
}

#[tokio::test]
async fn a_partition_has_one_owner_until_it_lets_go() {
    let place = Place::new().await;
    let store = &place.store;
    store.ensure_push_partitions(3).await.unwrap();
    store.ensure_push_partitions(3).await.unwrap();
    let epoch = store.push_claim("a", 0, LONG).await.unwrap().unwrap();
    assert_eq!(store.push_claim("b", 0, LONG).await.unwrap(), None);
    assert_eq!(store.push_claim("b", 7, LONG).await.unwrap(), None);
    store.push_heartbeat("b", LONG, &[]).await.unwrap();
    let table = store
        .push_heartbeat("a", LONG, &[(0, epoch)])
        .await
        .unwrap();
    assert_eq!(owners(&table), [Some("a"), None, None]);
    let members: Vec<&str> = table.members.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(members, ["a", "b"]);

    // Nobody lets go of another's, nor of a claim before the last one.
    store.push_release("b", 0, epoch).await.unwrap();
    let later = store.push_claim("a", 0, LONG).await.unwrap().unwrap();
    assert!(later > epoch);
    store.push_release("a", 0, epoch).await.unwrap();
    assert_eq!(store.push_claim("b", 0, LONG).await.unwrap(), None);
    store.push_release("a", 0, later).await.unwrap();
    store.push_leave("a").await.unwrap();
    let last = store.push_claim("b", 0, LONG).await.unwrap().unwrap();
    assert!(last > later);
    let table = store.push_heartbeat("b", LONG, &[(0, last)]).await.unwrap();
    assert_eq!(owners(&table), [Some("b"), None, None]);
    assert_eq!(table.members.len(), 1);
}

#[tokio::test]
async fn what_is_not_renewed_lapses() {
    let place = Place::new().await;
    let store = &place.store;
    store.ensure_push_partitions(2).await.unwrap();
    let short = Duration::from_millis(100);
    let lapsing = store.push_claim("a", 0, short).await.unwrap().unwrap();
    let renewed = store.push_claim("a", 1, short).await.unwrap().unwrap();
    store
        .push_heartbeat("a", LONG, &[(1, renewed)])
        .await
        .unwrap();
    until("the lease ends", || async {
        let claimed = store.push_claim("b", 0, LONG).await.unwrap();
        claimed.map(drop).ok_or(claimed)
    })
    .await;
    // A renewal under a claim that was followed by another's changes nothing.
    let held = [(0, lapsing), (1, renewed)];
    let table = store.push_heartbeat("a", LONG, &held);
    assert_eq!(owners(&table.await.unwrap()), [Some("b"), Some("a")]);
}
