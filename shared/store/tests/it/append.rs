//! What a batch writes.

use protocol::{Event, EventKind, Lane, Role, RoomKind};
use store::{AppendError, Page};

use crate::place::Place;
use crate::writer::{Writer, room, seq, user};

async fn events(place: &Place, of: i64) -> Vec<Event> {
    let history = place
        .store
        .history(user(of), room(1), Page::After(seq(0)), 100)
        .await
        .unwrap();
    history.unwrap().events
}

#[tokio::test]
async fn what_is_written_is_read_back() {
    let place = Place::new().await;
    let mut writer = Writer::claim(&place.store, "a", 0).await;
    writer.create(room(1), &[user(1), user(2)]);
    writer.say(room(1), user(2), "Grüße, \"𝄞\"\n");
    writer.add(room(1), user(1), user(3));
    writer.role(room(1), user(1), user(2), Role::Admin);
    writer.event(
        room(1),
        user(1),
        EventKind::Renamed {
            name: "new".to_owned(),
        },
    );
    let written = writer.batch.events.clone();
    writer.commit().await;
    assert_eq!(events(&place, 1).await, written);

    let rooms = place.store.load_rooms(&[room(1), room(9)]).await.unwrap();
    assert_eq!(rooms.len(), 1);
    let stored = &rooms[&room(1)];
    assert_eq!(stored.kind, RoomKind::Group);
    assert_eq!(stored.name, "new");
    assert_eq!(stored.head, seq(5));
    assert_eq!(stored.deleted, None);
    let mut members = stored.members.clone();
    members.sort();
    let expected = [
        (user(1), Role::Owner, seq(1)),
        (user(2), Role::Admin, seq(1)),
        (user(3), Role::Member, seq(3)),
    ];
    assert_eq!(members, expected);
}

#[tokio::test]
async fn a_batch_of_several_rooms_and_lanes_moves_each() {
    let place = Place::new().await;
    let store = &place.store;
    let mut writer = Writer::claim(store, "a", 0).await;
    let mut other = Writer::claim(store, "a", 1).await;
    for n in 1..=40 {
        writer.create(room(n), &[user(1)]);
        writer.say(room(n), user(1), "x");
    }
    other.advance.applied = 7;
    other.advance.routed = 99; // never above `applied`
    let mut batch = writer.take();
    batch.lanes.push(other.advance);
    store.append(&batch).await.unwrap();
    let table = store.heartbeat("b", batch.lease, &[]).await.unwrap();
    let progress: Vec<_> = table.lanes.iter().map(|l| (l.applied, l.routed)).collect();
    assert_eq!(progress, [(79, -1), (7, 7), (-1, -1), (-1, -1)]);
    assert_eq!(
        place
            .number("select count(*) from room where head = 2")
            .await,
        40
    );
}

/// A batch in which everything was rejected or routed again still moves its lane.
#[tokio::test]
async fn a_batch_without_events_moves_its_lane() {
    let place = Place::new().await;
    let mut writer = Writer::claim(&place.store, "a", 0).await;
    writer.advance.applied = 3;
    writer.advance.routed = 2;
    writer.commit().await;
    writer.advance.routed = 0;
    writer.commit().await;
    assert_eq!(
        place
            .number("select applied from lane where lane = 0")
            .await,
        3
    );
    assert_eq!(
        place.number("select routed from lane where lane = 0").await,
        2
    );
}

/// I2: (room, sender, kind, id) is unique, whatever the states said.
#[tokio::test]
async fn i2_a_stored_id_is_not_stored_again() {
    let place = Place::new().await;
    let mut writer = Writer::claim(&place.store, "a", 0).await;
    writer.create(room(1), &[user(1)]);
    writer.say(room(1), user(1), "x");
    let id = writer.batch.events[1].id;
    writer.commit().await;
    writer.say(room(1), user(1), "x");
    writer.batch.events[0].id = id;
    let error = writer.try_commit().await.unwrap_err();
    assert!(matches!(error, AppendError::IdTaken), "{error}");
    // Nothing moved: the same lane goes on from where it was.
    assert_eq!(
        place
            .number("select applied from lane where lane = 0")
            .await,
        1
    );
}

/// I2: stale states can neither write over a seq nor leave one out.
#[tokio::test]
async fn i2_stale_heads_are_refused() {
    let place = Place::new().await;
    let mut writer = Writer::claim(&place.store, "a", 0).await;
    writer.create(room(1), &[user(1)]);
    writer.say(room(1), user(1), "x");
    writer.commit().await;
    for wrong in [2, 4] {
        writer.say(room(1), user(1), "x");
        let mut batch = writer.take();
        batch.events[0].seq = seq(wrong);
        batch.lanes[0].expected_applied = 1;
        let error = place.store.append(&batch).await.unwrap_err();
        assert!(
            matches!(error, AppendError::SeqTaken(_)),
            "{wrong}: {error}"
        );
    }
    // A gap within a batch, and a room that is there already.
    for make in [
        |writer: &mut Writer| {
            writer.say(room(1), user(1), "x");
            writer.say(room(1), user(1), "x");
            writer.batch.events.remove(0);
        },
        |writer: &mut Writer| {
            writer.create(room(2), &[user(1)]);
            writer.batch.events[0].room = room(1);
        },
    ] {
        make(&mut writer);
        let mut batch = writer.take();
        batch.lanes[0].expected_applied = 1;
        let error = place.store.append(&batch).await.unwrap_err();
        assert!(matches!(error, AppendError::SeqTaken(_)), "{error}");
    }
    assert_eq!(place.number("select count(*) from message").await, 2);
}

#[tokio::test]
async fn an_edit_replaces_the_text_and_marks_it() {
    let place = Place::new().await;
    let mut writer = Writer::claim(&place.store, "a", 0).await;
    writer.create(room(1), &[user(1)]);
    let target = writer.say(room(1), user(1), "first");
    let edit = |body: &str| EventKind::Edited {
        target,
        body: body.to_owned(),
    };
    // Message and two edits in one batch: the last one counts.
    writer.event(room(1), user(1), edit("second"));
    let last = writer.event(room(1), user(1), edit("third"));
    writer.commit().await;
    let stored = events(&place, 1).await;
    let expected = EventKind::Message {
        body: "third".to_owned(),
        edited: Some(last),
        deleted: None,
    };
    assert_eq!(stored[1].kind, expected);
    assert_eq!(stored[2].kind, edit("second"));
}

#[tokio::test]
async fn a_deletion_leaves_a_tombstone_and_no_text_anywhere() {
    let place = Place::new().await;
    let store = &place.store;
    let mut writer = Writer::claim(store, "a", 0).await;
    writer.create(room(1), &[user(1)]);
    let target = writer.say(room(1), user(1), "secret");
    let kept = writer.say(room(1), user(1), "kept");
    writer.commit().await;
    let edit = |target, body: &str| EventKind::Edited {
        target,
        body: body.to_owned(),
    };
    writer.event(room(1), user(1), edit(target, "secret 2"));
    writer.event(room(1), user(1), edit(kept, "kept 2"));
    let deletion = writer.event(room(1), user(1), EventKind::Deleted { target });
    writer.commit().await;
    // An edit that was decided on a stale state brings nothing back into the message.
    writer.event(room(1), user(1), edit(target, "late"));
    writer.commit().await;
    let stored = events(&place, 1).await;
    let expected = EventKind::Message {
        body: String::new(),
        edited: None,
        deleted: Some(deletion),
    };
    assert_eq!(stored[1].kind, expected);
    assert_eq!(stored[3].kind, edit(target, ""));
    assert_eq!(stored[4].kind, edit(kept, "kept 2"));
    let secrets = "select count(*) from message where (content, first)::text like '%secret%'";
    assert_eq!(place.number(secrets).await, 0);

    let asked = [
        (room(1), target),
        (room(1), kept),
        (room(1), seq(1)),
        (room(1), seq(99)),
    ];
    let targets = store.load_messages(&asked).await.unwrap();
    assert_eq!(targets.len(), 3);
    assert!(targets[&asked[0]].deleted && targets[&asked[0]].is_message);
    assert!(!targets[&asked[1]].deleted);
    assert!(!targets[&asked[2]].is_message);
    assert_eq!(targets[&asked[1]].sender, user(1));
}

#[tokio::test]
async fn a_deleted_room_is_a_tombstone_and_ends_all_stays() {
    let place = Place::new().await;
    let mut writer = Writer::claim(&place.store, "a", 0).await;
    writer.create(room(1), &[user(1), user(2)]);
    writer.create(room(2), &[user(1)]);
    writer.commit().await;
    writer.add(room(1), user(1), user(3));
    let end = writer.event(room(1), user(1), EventKind::RoomDeleted);
    writer.commit().await;
    let rooms = place.store.load_rooms(&[room(1), room(2)]).await.unwrap();
    assert_eq!(rooms[&room(1)].deleted, Some(end));
    assert_eq!(rooms[&room(1)].members, []);
    assert_eq!(rooms[&room(2)].members.len(), 1);
    let ended = "select count(*) from membership where room_id = 1 and left_seq = 3";
    assert_eq!(place.number(ended).await, 3);
    let mine = place.store.rooms_of(user(1), None, 100).await.unwrap();
    assert_eq!(mine.iter().map(|r| r.room).collect::<Vec<_>>(), [room(2)]);
}

#[tokio::test]
async fn i2_lanes_side_by_side_leave_no_gap() {
    let place = Place::new().await;
    let mut running = tokio::task::JoinSet::new();
    for n in 0..4 {
        let store = place.store.clone();
        running.spawn(async move {
            let mut writer = Writer::claim(&store, "a", n).await;
            let room = room(i64::from(n) + 1);
            writer.create(room, &[user(1)]);
            for _ in 0..25 {
                for _ in 0..4 {
                    writer.say(room, user(1), "x");
                }
                writer.commit().await;
            }
            writer.advance.lane
        });
    }
    let mut lanes = running.join_all().await;
    lanes.sort();
    assert_eq!(lanes, [0, 1, 2, 3].map(Lane));
    let whole = "select count(*) from room r where head = 101 and 101 =
                 (select count(*) from message m where m.room_id = r.room_id and seq <= head)";
    assert_eq!(place.number(whole).await, 4);
}
