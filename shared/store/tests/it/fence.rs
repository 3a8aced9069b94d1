//! The fence of `append`: owner, epoch and `applied`, checked after the wait for the lock.

use protocol::Lane;
use store::{AppendError, Batch, Store, StoreSettings};

use crate::place::{Place, locked, patient};
use crate::writer::{LEASE, TOPIC, Writer, room, user};

fn fenced(result: Result<(), AppendError>) -> Vec<Lane> {
    match result {
        Err(AppendError::Fenced(lanes)) => lanes,
        other => panic!("not fenced: {other:?}"),
    }
}

#[tokio::test]
async fn i2_a_paused_owner_is_fenced_and_stores_nothing() {
    let place = Place::new().await;
    let store = &place.store;
    let mut old = Writer::claim(store, "a", 0).await;
    store
        .release("a", Lane(0), old.advance.epoch, -1)
        .await
        .unwrap();
    let mut new = Writer::claim(store, "b", 0).await;
    old.create(room(1), &[user(1)]);
    assert_eq!(fenced(old.try_commit().await), [Lane(0)]);
    new.create(room(1), &[user(2)]);
    new.commit().await;
    assert_eq!(place.number("select count(*) from message").await, 1);
    assert_eq!(place.number("select sender_id from message").await, 2);
}

/// A mismatch names its lanes, and nothing of the others is stored either.
#[tokio::test]
async fn a_mismatch_names_its_lanes() {
    let place = Place::new().await;
    let store = &place.store;
    let mut good = Writer::claim(store, "a", 0).await;
    let mut wrong_epoch = Writer::claim(store, "a", 1).await.advance;
    let wrong_owner = Writer::claim(store, "b", 2).await.advance;
    wrong_epoch.epoch -= 1;
    let mut unknown = wrong_owner;
    unknown.lane = Lane(77);
    good.create(room(1), &[user(1)]);
    let mut batch = good.take();
    batch.lanes.extend([unknown, wrong_owner, wrong_epoch]);
    let lanes = fenced(store.append(&batch).await);
    assert_eq!(lanes, [Lane(1), Lane(2), Lane(77)]);
    assert_eq!(place.number("select count(*) from message").await, 0);
    batch.lanes.truncate(1);
    store.append(&batch).await.unwrap();
}

/// Trap 15: an append whose answer was lost is repeated: not its own rows stop it, its `applied`
/// does, so that nobody calls what is stored rejected.
#[tokio::test]
async fn trap_15_a_repeated_append_is_a_mismatch_not_a_duplicate() {
    let place = Place::new().await;
    let store = &place.store;
    let mut writer = Writer::claim(store, "a", 0).await;
    writer.create(room(1), &[user(1)]);
    let batch = writer.take();
    store.append(&batch).await.unwrap();
    assert_eq!(fenced(store.append(&batch).await), [Lane(0)]);
}

/// Trap 2: the check sees what was committed while the append waited for the lock.
#[tokio::test]
async fn trap_2_the_check_is_made_after_the_wait() {
    let place = Place::new().await;
    let store = &place.store;
    let mut writer = Writer::claim(store, "a", 0).await;
    writer.create(room(1), &[user(1)]);
    let batch = writer.take();

    let mut client = place.client().await;
    let transaction = client.transaction().await.unwrap();
    transaction
        .execute(
            "update lane set applied = 5, routed = 5 where lane = 0",
            &[],
        )
        .await
        .unwrap();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.append(&batch).await }
    });
    place.until_waiting(1).await;
    transaction.commit().await.unwrap();
    assert_eq!(fenced(waiting.await.unwrap()), [Lane(0)]);
    assert_eq!(place.number("select count(*) from message").await, 0);
}

/// Trap 2: and so do the statements after it. The head is raised, and the stay ended, while the
/// append waits; both are seen. In one statement the snapshot from before the wait would find the
/// old head and the open stay, and write over them.
#[tokio::test]
async fn trap_2_rows_are_read_after_the_wait() {
    let place = Place::new().await;
    let store = &place.store;
    let mut writer = Writer::claim(store, "a", 0).await;
    writer.create(room(1), &[user(1), user(2)]);
    writer.commit().await;

    let mut client = place.client().await;
    let transaction = client.transaction().await.unwrap();
    for sql in [
        "select 1 from lane where lane = 0 for update",
        "update room set head = 7",
        "update membership set left_seq = 7 where user_id = 2",
    ] {
        transaction.execute(sql, &[]).await.unwrap();
    }
    writer.remove(room(1), user(1), user(2));
    let batch = writer.take();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.append(&batch).await }
    });
    place.until_waiting(1).await;
    transaction.commit().await.unwrap();
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.label(), "seq_taken", "{error}");
    assert_eq!(place.number("select head from room").await, 7);
}

/// Batches that share lanes never wait for each other in a circle: rows are locked in lane order,
/// whatever order the batch names them in and the rows lie in.
#[tokio::test]
async fn lanes_are_locked_in_order() {
    let place = Place::new().await;
    let store = &place.store;
    let mut advances = Vec::new();
    for n in [3, 2, 1, 0] {
        // A claim writes its row anew, behind the others: now they lie from 3 to 0.
        advances.push(Writer::claim(store, "a", n).await.advance);
    }
    let batch = Batch {
        owner: "a".to_owned(),
        lease: LEASE,
        lanes: advances,
        ..Batch::default()
    };
    let mut client = place.client().await;
    let transaction = locked(&mut client, 1).await;
    // Where the planner takes the index the order comes by itself: not relied upon.
    let options = "options=-c%20enable_indexscan%3Doff%20-c%20enable_bitmapscan%3Doff";
    let settings = patient(StoreSettings::new(format!("{}?{options}", place.url())));
    let store = Store::connect(&settings).await.unwrap();
    let waiting = tokio::spawn(async move { store.append(&batch).await });
    place.until_waiting(1).await;
    let free = "select lane from lane for update skip locked";
    let free = place.client().await.query(free, &[]).await.unwrap();
    let mut free: Vec<i32> = free.iter().map(|row| row.get(0)).collect();
    free.sort_unstable();
    assert_eq!(free, [2, 3], "0 is held, 1 is waited for");
    transaction.commit().await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_lock_that_is_not_got_in_time_is_known_not_to_be_stored() {
    let place = Place::new().await;
    let mut settings = patient(StoreSettings::new(place.url()));
    settings.lock_timeout = std::time::Duration::from_millis(100);
    let hasty = Store::connect(&settings).await.unwrap();
    let mut writer = Writer::claim(&hasty, "a", 0).await;
    let mut client = place.client().await;
    let transaction = locked(&mut client, 0).await;
    writer.create(room(1), &[user(1)]);
    let batch = writer.take();
    let error = hasty.append(&batch).await.unwrap_err();
    assert_eq!(error.label(), "unavailable", "{error}");
    assert_eq!(hasty.pool_state().open, 1, "the connection is fit");
    transaction.commit().await.unwrap();
    hasty.append(&batch).await.unwrap();
    let claim = hasty.claim("a", Lane(0), TOPIC, LEASE).await.unwrap();
    assert_eq!(claim.unwrap().applied, 0);
}
