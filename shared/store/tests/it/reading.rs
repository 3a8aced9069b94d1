//! Rooms, members and users as the REST API shows them.

use protocol::{EventKind, Role, RoomKind, UserId};
use store::{RoomKey, StayOpened};
use uuid::Uuid;

use crate::place::Place;
use crate::writer::{Writer, room, seq, user};

#[tokio::test]
async fn a_room_is_reserved_once_per_key() {
    let place = Place::new().await;
    let store = &place.store;
    let mut running = tokio::task::JoinSet::new();
    for n in 0..8 {
        let store = store.clone();
        let (a, b) = if n % 2 == 0 { (1, 2) } else { (2, 1) };
        running.spawn(async move { store.reserve_room(RoomKey::Direct(user(a), user(b))).await });
    }
    let mut rooms: Vec<_> = running
        .join_all()
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    rooms.dedup();
    assert_eq!(rooms.len(), 1, "{rooms:?}");
    let id = Uuid::new_v4();
    let group = store
        .reserve_room(RoomKey::Created(user(1), id))
        .await
        .unwrap();
    let again = store
        .reserve_room(RoomKey::Created(user(1), id))
        .await
        .unwrap();
    let others = store
        .reserve_room(RoomKey::Created(user(2), id))
        .await
        .unwrap();
    assert_eq!(group, again);
    assert_ne!(group, others);
    assert_ne!(group, rooms[0]);
}

#[tokio::test]
async fn a_users_rooms_are_listed_with_what_is_unread() {
    let place = Place::new().await;
    let store = &place.store;
    let mut writer = Writer::claim(store, "a", 0).await;
    let (me, other) = (user(1), user(2));
    writer.create(room(1), &[other]); // 1
    writer.say(room(1), other, "before me"); // 2
    writer.add(room(1), other, me); // 3
    writer.say(room(1), other, "unread"); // 4
    writer.say(room(1), me, "my own"); // 5
    let deleted = writer.say(room(1), other, "deleted"); // 6
    writer.event(room(1), other, EventKind::Deleted { target: deleted }); // 7
    writer.create(room(2), &[other]);
    writer.event(
        room(3),
        me,
        EventKind::Created {
            room_kind: RoomKind::Direct,
            name: String::new(),
            members: vec![me, other],
        },
    );
    for user in [me, other] {
        writer.batch.opened.push(StayOpened {
            room: room(3),
            user,
            joined_seq: seq(1),
            role: Role::Member,
        });
    }
    writer.commit().await;
    let rooms = store.rooms_of(me, None, 100).await.unwrap();
    assert_eq!(rooms.len(), 2);
    let group = &rooms[0];
    assert_eq!((group.room, group.kind), (room(1), RoomKind::Group));
    assert_eq!(
        (group.head, group.joined_seq, group.mark),
        (seq(7), seq(3), seq(0))
    );
    assert_eq!(
        (group.role, group.unread, group.peer),
        (Role::Member, 1, None)
    );
    assert_eq!(
        group.last.as_ref().unwrap().kind,
        EventKind::message("my own".to_owned())
    );
    let direct = &rooms[1];
    assert_eq!((direct.kind, direct.peer), (RoomKind::Direct, Some(other)));
    assert_eq!((direct.unread, &direct.last), (0, &None));

    store.raise_marks(&[(room(1), me, seq(4))]).await.unwrap();
    let rooms = store.rooms_of(me, None, 100).await.unwrap();
    assert_eq!((rooms[0].mark, rooms[0].unread), (seq(4), 0));
}

/// I9: who is in too many rooms is known. What one has left does not count, nor does the room in question.
#[tokio::test]
async fn i9_rooms_of_a_user_are_counted_up_to_a_bound() {
    let place = Place::new().await;
    let store = &place.store;
    let mut writer = Writer::claim(store, "a", 0).await;
    let (many, few) = (user(1), user(2));
    for n in 1..=3 {
        writer.create(room(n), &[many, few]);
    }
    writer.remove(room(2), many, few);
    writer.add(room(3), many, user(3));
    writer.remove(room(3), many, user(3));
    writer.commit().await;
    let all = [few, user(3), many, user(4)];
    let crowded = async |of: &[UserId], beside, most| {
        let found = store.crowded(of, room(beside), most);
        found.await.unwrap()
    };
    assert_eq!(crowded(&all, 9, 3).await, Some(many));
    assert_eq!(crowded(&all, 9, 4).await, None);
    assert_eq!(crowded(&all, 3, 3).await, None, "in it already");
    assert_eq!(crowded(&[user(4), many], 2, 2).await, Some(many));
    assert_eq!(crowded(&[few], 9, 2).await, Some(few));
    assert_eq!(crowded(&[few], 9, 3).await, None);
    assert_eq!(crowded(&[user(3)], 9, 1).await, None);
}

/// I9: the list comes in pages, and a room is looked at no further than 1,000 entries back.
#[tokio::test]
async fn i9_the_list_of_rooms_is_bounded() {
    let place = Place::new().await;
    let store = &place.store;
    let mut writer = Writer::claim(store, "a", 0).await;
    let (me, other) = (user(1), user(2));
    for n in 1..=5 {
        writer.create(room(n), &[me, other]);
    }
    // The newest 1,000 entries are looked at, whoever they are from.
    writer.say(room(1), other, "too old to be counted");
    for _ in 0..998 {
        writer.say(room(1), me, "my own");
    }
    writer.say(room(1), other, "unread");
    writer.say(room(1), other, &"é".repeat(300));
    writer.say(room(2), other, "before");
    for _ in 0..1000 {
        writer.add(room(2), me, user(3));
        writer.remove(room(2), me, user(3));
    }
    writer.remove(room(4), me, me);
    writer.commit().await;
    let page = async |after: Option<i64>| {
        let rooms = store.rooms_of(me, after.map(room), 3).await.unwrap();
        rooms.iter().map(|r| r.room.get()).collect::<Vec<_>>()
    };
    assert_eq!(page(None).await, [1, 2, 3]);
    assert_eq!(page(Some(3)).await, [5]);
    assert_eq!(page(Some(5)).await, [0; 0]);
    let rooms = store.rooms_of(me, None, 2).await.unwrap();
    assert_eq!((rooms[0].unread, rooms[1].unread), (2, 0));
    let preview = EventKind::message("é".repeat(200));
    assert_eq!(rooms[0].last.as_ref().unwrap().kind, preview);
    assert_eq!(rooms[1].last, None);
}

#[tokio::test]
async fn a_room_is_shown_with_its_members() {
    let place = Place::new().await;
    let store = &place.store;
    let ann = store.create_or_get_user("ann").await.unwrap();
    let unnamed = user(4_000_000);
    let mut writer = Writer::claim(store, "a", 0).await;
    writer.create(room(1), &[ann, unnamed]);
    writer.commit().await;
    store.raise_marks(&[(room(1), ann, seq(1))]).await.unwrap();
    let view = store.room(ann, room(1)).await.unwrap().unwrap();
    assert_eq!(
        (view.room, view.name.as_str(), view.head),
        (room(1), "name", seq(1))
    );
    let names: Vec<_> = view
        .members
        .iter()
        .map(|m| (m.user, m.name.as_str()))
        .collect();
    assert_eq!(names, [(ann, "ann"), (unnamed, "")]);
    assert_eq!(view.members[0].role, Role::Owner);
    assert_eq!(
        (view.members[0].mark, view.members[1].mark),
        (seq(1), seq(0))
    );
    assert_eq!(store.room(ann, room(2)).await.unwrap(), None);
}

#[tokio::test]
async fn a_user_is_made_once_per_name() {
    let place = Place::new().await;
    let store = &place.store;
    let ann = store.create_or_get_user("ann").await.unwrap();
    let bob = store.create_or_get_user("bob").await.unwrap();
    assert_eq!(store.create_or_get_user("ann").await.unwrap(), ann);
    assert_ne!(ann, bob);
    let names = store.names(&[bob, user(999_999), ann]).await.unwrap();
    assert_eq!(names.len(), 2);
    assert_eq!(names[&bob], "bob");
}
