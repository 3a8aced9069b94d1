//! What can't be stored is told apart from what can't be stored *now*.

use protocol::EventKind;
use store::AppendError;

use crate::place::Place;
use crate::writer::{Writer, room, seq, user};

fn sqlstate(error: AppendError) -> String {
    match error {
        AppendError::BadData { sqlstate, .. } => sqlstate,
        other => panic!("not bad data: {other:?}"),
    }
}

/// Trap 12: U+0000 is valid JSON and not storable, in whichever column it comes.
#[tokio::test]
async fn trap_12_a_nul_is_bad_data() {
    let place = Place::new().await;
    let mut writer = Writer::claim(&place.store, "a", 0).await;
    writer.create(room(1), &[user(1)]);
    writer.say(room(1), user(1), "x");
    writer.commit().await;
    for kind in [
        EventKind::message("a\0b".to_owned()),
        EventKind::Edited {
            target: seq(2),
            body: "a\0b".to_owned(),
        },
        EventKind::Renamed {
            name: "a\0b".to_owned(),
        },
    ] {
        let word = kind.word();
        writer.event(room(1), user(1), kind);
        let mut batch = writer.take();
        batch.events[0].seq = seq(3);
        batch.lanes[0].expected_applied = 1;
        let error = place.store.append(&batch).await.unwrap_err();
        assert!(sqlstate(error).starts_with("22"), "{word}");
    }
    // The lane goes on past it.
    writer.advance.expected_applied = 1;
    writer.commit().await;
    let applied = "select applied from lane where lane = 0";
    assert_eq!(place.number(applied).await, 4);
}

/// Trap 12: a server that can't write just now is not the batch's fault: never dead-lettered.
#[tokio::test]
async fn trap_12_a_server_in_trouble_is_not_poison() {
    let place = Place::new().await;
    let mut writer = Writer::claim(&place.store, "a", 0).await;
    writer.create(room(1), &[user(1)]);
    let batch = writer.take();
    let client = place.client().await;
    // The nearest to a full disk that a test can make: the same error, from the same place.
    for state in ["53100", "53200", "58030", "40001", "25006"] {
        client
            .batch_execute(&format!(
                "create or replace function trouble() returns trigger language plpgsql as $$
                     begin raise exception 'no' using errcode = '{state}'; end $$;
                 create or replace trigger trouble before insert on room
                     for each row execute function trouble();"
            ))
            .await
            .unwrap();
        let error = place.store.append(&batch).await.unwrap_err();
        assert_eq!(error.label(), "unavailable", "{state}: {error}");
    }
    client
        .batch_execute("drop trigger trouble on room")
        .await
        .unwrap();
    place.store.append(&batch).await.unwrap();
}

/// A constraint of the schema is bad data too, except the unique keys.
#[tokio::test]
async fn a_broken_constraint_is_bad_data() {
    let place = Place::new().await;
    let mut writer = Writer::claim(&place.store, "a", 0).await;
    writer.create(room(1), &[user(1), user(2)]);
    writer.commit().await;
    writer.remove(room(1), user(1), user(2));
    writer.batch.closed[0].left_seq = seq(0);
    assert_eq!(sqlstate(writer.try_commit().await.unwrap_err()), "23514");
}
