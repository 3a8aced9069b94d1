//! One row per stay: who was there when.

use protocol::{EventKind, Role, RoomId, Seq, UserId};
use store::{AppendError, EventKey, Page, Store};

use crate::place::Place;
use crate::writer::{Writer, room, seq, user};

async fn seen(store: &Store, user: UserId, room: RoomId) -> Vec<i64> {
    let history = store.history(user, room, Page::After(Seq::ZERO), 100).await;
    let events = history.unwrap().unwrap().events;
    events.iter().map(|event| event.seq.get()).collect()
}

/// Trap 3: `remove u, m by u's friend, add u, remove u, add u` in one batch: each stay is its own,
/// and so are the recipients of each event.
#[tokio::test]
async fn trap_3_stays_of_one_batch_are_told_apart() {
    let place = Place::new().await;
    let store = &place.store;
    let mut writer = Writer::claim(store, "a", 0).await;
    let (owner, u) = (user(1), user(2));
    writer.create(room(1), &[owner, u]); // 1
    writer.commit().await;
    writer.remove(room(1), owner, u); // 2
    writer.say(room(1), owner, "without"); // 3
    writer.add(room(1), owner, u); // 4
    writer.say(room(1), u, "with"); // 5
    writer.remove(room(1), owner, u); // 6
    writer.say(room(1), owner, "without"); // 7
    writer.add(room(1), owner, u); // 8
    let batch = writer.take();
    store.append(&batch).await.unwrap();

    assert_eq!(seen(store, u, room(1)).await, [1, 2, 4, 5, 6, 8]);
    let stored = &store.load_rooms(&[room(1)]).await.unwrap()[&room(1)];
    assert!(stored.members.contains(&(u, Role::Member, seq(8))));
    assert_eq!(stored.members.len(), 2);

    // What is routed again goes to the members at that seq, not to today's (trap 1).
    let keys: Vec<_> = batch.events.iter().map(key).collect();
    let found = store.find_events(&keys, &[]).await.unwrap().found;
    for (key, event) in keys.iter().zip(&batch.events) {
        let both = ![3, 7].contains(&event.seq.get());
        let expected = if both { vec![owner, u] } else { vec![owner] };
        assert_eq!(found[key].recipients, expected, "seq {}", event.seq);
        assert_eq!(&found[key].event, event);
    }
}

fn key(event: &protocol::Event) -> EventKey {
    EventKey {
        room: event.room,
        sender: event.from,
        kind: event.kind.word(),
        id: event.id,
    }
}

/// Trap 3: a role belongs to a stay: who is made admin, removed and added again is none.
#[tokio::test]
async fn trap_3_a_role_ends_with_its_stay() {
    let place = Place::new().await;
    let mut writer = Writer::claim(&place.store, "a", 0).await;
    let (owner, u) = (user(1), user(2));
    writer.create(room(1), &[owner, u]);
    writer.role(room(1), owner, u, Role::Admin);
    writer.remove(room(1), owner, u);
    writer.add(room(1), owner, u);
    writer.commit().await;
    let rooms = place.store.load_rooms(&[room(1)]).await.unwrap();
    let members = &rooms[&room(1)].members;
    assert!(members.contains(&(u, Role::Member, seq(4))), "{members:?}");
}

/// Trap 16, I12: who leaves and comes back sees both stays and nothing between them.
#[tokio::test]
async fn trap_16_who_comes_back_sees_neither_more_nor_less() {
    let place = Place::new().await;
    let store = &place.store;
    let mut writer = Writer::claim(store, "a", 0).await;
    let (owner, u, never) = (user(1), user(2), user(3));
    writer.create(room(1), &[owner]); // 1
    writer.say(room(1), owner, "before"); // 2
    writer.add(room(1), owner, u); // 3
    writer.say(room(1), owner, "there"); // 4
    writer.commit().await;
    writer.remove(room(1), owner, u); // 5
    writer.commit().await;
    writer.say(room(1), owner, "away"); // 6
    writer.commit().await;
    assert_eq!(seen(store, u, room(1)).await, [3, 4, 5]);
    let gone = store.history(u, room(1), Page::Before(seq(99)), 2).await;
    assert_eq!(
        gone.unwrap().unwrap().head,
        seq(5),
        "the head is not theirs to know"
    );
    writer.add(room(1), owner, u); // 7
    writer.say(room(1), owner, "back"); // 8
    writer.commit().await;
    assert_eq!(seen(store, u, room(1)).await, [3, 4, 5, 7, 8]);
    assert_eq!(seen(store, owner, room(1)).await, [1, 2, 3, 4, 5, 6, 7, 8]);
    let pages = [
        (Page::After(seq(0)), vec![3, 4, 5]),
        (Page::After(seq(4)), vec![5, 7, 8]),
        (Page::Before(seq(8)), vec![4, 5, 7]),
        (Page::Before(seq(4)), vec![3]),
    ];
    for (page, expected) in pages {
        let history = store.history(u, room(1), page, 3).await.unwrap().unwrap();
        let seqs: Vec<_> = history.events.iter().map(|e| e.seq.get()).collect();
        assert_eq!(seqs, expected, "{page:?}");
        assert_eq!(history.head, seq(8));
    }
    let none = store.history(never, room(1), Page::After(seq(0)), 9).await;
    assert_eq!(none.unwrap(), None);
    assert_eq!(store.room(never, room(1)).await.unwrap(), None);
}

/// A stay that is not there, or has ended: the states were stale, and nothing is stored.
#[tokio::test]
async fn a_stay_that_is_not_open_can_not_end() {
    let place = Place::new().await;
    let mut writer = Writer::claim(&place.store, "a", 0).await;
    writer.create(room(1), &[user(1), user(2)]);
    writer.commit().await;
    writer.remove(room(1), user(1), user(2));
    writer.batch.closed[0].joined_seq = seq(2);
    let error = writer.try_commit().await.unwrap_err();
    assert!(matches!(error, AppendError::SeqTaken(_)), "{error}");
}

/// Nor does anybody have two open stays in a room.
#[tokio::test]
async fn a_member_can_not_join_again() {
    let place = Place::new().await;
    let mut writer = Writer::claim(&place.store, "a", 0).await;
    writer.create(room(1), &[user(1), user(2)]);
    writer.commit().await;
    writer.add(room(1), user(1), user(2));
    let error = writer.try_commit().await.unwrap_err();
    assert!(matches!(error, AppendError::SeqTaken(_)), "{error}");
}

/// I12: the removal itself is the last that the removed member sees.
#[tokio::test]
async fn i12_the_removal_is_the_last_that_is_seen() {
    let place = Place::new().await;
    let mut writer = Writer::claim(&place.store, "a", 0).await;
    writer.create(room(1), &[user(1), user(2)]);
    writer.remove(room(1), user(1), user(2));
    writer.say(room(1), user(1), "x");
    writer.commit().await;
    let history = place
        .store
        .history(user(2), room(1), Page::Before(seq(99)), 9)
        .await;
    let history = history.unwrap().unwrap();
    let last = history.events.last().unwrap();
    assert!(matches!(last.kind, EventKind::MemberRemoved { .. }));
}

/// I9: a page is bounded in bytes; paging on from it, in either direction, yields the whole.
#[tokio::test]
async fn i9_a_page_of_history_is_bounded_in_bytes() {
    let place = Place::new().await;
    let store = &place.store;
    let mut writer = Writer::claim(store, "a", 0).await;
    writer.create(room(1), &[user(1)]);
    let long = "x".repeat(usize::try_from(store::read::PAGE_BYTES).unwrap() / 3);
    for _ in 0..4 {
        writer.say(room(1), user(1), &long);
    }
    // One that alone is more than a page.
    writer.say(room(1), user(1), &long.repeat(4));
    writer.say(room(1), user(1), "short");
    writer.commit().await;
    let pages = async |mut page, next: fn(&[i64]) -> Page| {
        let mut found = Vec::new();
        loop {
            let history = store.history(user(1), room(1), page, 100).await;
            let events = history.unwrap().unwrap().events;
            let seqs: Vec<_> = events.iter().map(|e| e.seq.get()).collect();
            if seqs.is_empty() {
                return found;
            }
            page = next(&seqs);
            found.push(seqs);
        }
    };
    let up = pages(Page::After(Seq::ZERO), |seqs| {
        Page::After(seq(seqs[seqs.len() - 1]))
    })
    .await;
    assert_eq!(up, [vec![1, 2, 3], vec![4, 5], vec![6], vec![7]]);
    let down = pages(Page::Before(seq(99)), |seqs| Page::Before(seq(seqs[0]))).await;
    assert_eq!(down, [vec![7], vec![6], vec![4, 5], vec![1, 2, 3]]);
}
