//! What is stored under an id, and read marks.

use protocol::{EventKind, Lane};
use store::EventKey;
use uuid::Uuid;

use crate::place::Place;
use crate::writer::{Writer, room, seq, user};

/// The retry of a command is looked up with the lane's progress in one snapshot.
#[tokio::test]
async fn events_are_found_by_id_with_the_progress_of_their_lanes() {
    let place = Place::new().await;
    let store = &place.store;
    let mut writer = Writer::claim(store, "a", 2).await;
    writer.create(room(1), &[user(1), user(2)]);
    writer.say(room(1), user(2), "x");
    let said = writer.batch.events[1].clone();
    writer.commit().await;
    let key = EventKey {
        room: room(1),
        sender: user(2),
        kind: "message",
        id: said.id,
    };
    let others = [
        EventKey {
            room: room(2),
            ..key
        },
        EventKey {
            sender: user(1),
            ..key
        },
        EventKey {
            kind: "edited",
            ..key
        },
        EventKey {
            id: Uuid::new_v4(),
            ..key
        },
    ];
    let keys = [others[0], others[1], key, others[2], others[3]];
    let answer = store.find_events(&keys, &[Lane(2), Lane(3)]).await.unwrap();
    assert_eq!(answer.found.len(), 1);
    assert_eq!(answer.found[&key].event, said);
    assert_eq!(answer.found[&key].recipients, [user(1), user(2)]);
    assert_eq!(answer.applied[&Lane(2)], 1);
    assert_eq!(answer.applied[&Lane(3)], -1);

    let outcome = store.find_outcome(room(1), user(2), "message", said.id);
    assert_eq!(outcome.await.unwrap(), Some(said.clone()));
    let outcome = store.find_outcome(room(1), user(1), "message", said.id);
    assert_eq!(outcome.await.unwrap(), None);
}

/// Who owns a group after its last owner left is part of the event.
#[tokio::test]
async fn every_kind_of_event_comes_back_as_it_was() {
    let place = Place::new().await;
    let mut writer = Writer::claim(&place.store, "a", 0).await;
    writer.create(room(1), &[user(1), user(2)]);
    writer.remove(room(1), user(1), user(1));
    writer.batch.events[1].kind = EventKind::MemberRemoved {
        user: user(1),
        owner: Some(user(2)),
    };
    let event = writer.batch.events[1].clone();
    writer.commit().await;
    let found = place
        .store
        .find_outcome(room(1), user(1), "member_removed", event.id);
    assert_eq!(found.await.unwrap(), Some(event));
}

/// Highest wins, never above the head, members only; told are those that rose.
#[tokio::test]
async fn read_marks_rise_and_are_clamped() {
    let place = Place::new().await;
    let store = &place.store;
    let mut writer = Writer::claim(store, "a", 0).await;
    writer.create(room(1), &[user(1), user(2)]);
    writer.say(room(1), user(1), "x");
    writer.say(room(1), user(1), "y");
    writer.remove(room(1), user(1), user(2));
    writer.commit().await; // head 4
    let raise = async |upto: &[i64]| {
        let mut marks: Vec<_> = upto.iter().map(|n| (room(1), user(1), seq(*n))).collect();
        marks.push((room(1), user(2), seq(3))); // has left
        marks.push((room(9), user(1), seq(3))); // is not there
        let rose = store.raise_marks(&marks).await.unwrap();
        rose.iter().map(|mark| mark.upto.get()).collect::<Vec<_>>()
    };
    assert_eq!(raise(&[2]).await, [2]);
    assert_eq!(raise(&[2]).await, [0; 0]);
    assert_eq!(raise(&[1]).await, [0; 0]);
    assert_eq!(raise(&[1, 3, 2]).await, [3]);
    assert_eq!(raise(&[99]).await, [4]);
    assert_eq!(raise(&[100]).await, [0; 0]);
}
