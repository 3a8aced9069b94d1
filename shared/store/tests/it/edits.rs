//! I12: who has left sees no text that was written after.

use protocol::{Event, EventKind, Seq, UserId};
use store::{CatchUpRequest, EventKey, Page, Store};

use crate::catch_up::BYTES;
use crate::place::Place;
use crate::writer::{Writer, room, seq, user};

fn edit(target: Seq, body: &str) -> EventKind {
    EventKind::Edited {
        target,
        body: body.to_owned(),
    }
}

fn shown(body: &str, edited: Option<Seq>) -> EventKind {
    EventKind::Message {
        body: body.to_owned(),
        edited,
        deleted: None,
    }
}

/// What a user sees of a message, on both ways: they must agree.
async fn seen(store: &Store, user: UserId, target: Seq) -> EventKind {
    let page = Page::After(target.previous());
    let history = store.history(user, room(1), page, 1).await.unwrap();
    let caught = CatchUpRequest {
        cursors: vec![(room(1), Some(target.previous()))],
        ..crate::catch_up::request(user, &[])
    };
    let caught = store.catch_up(&[caught], BYTES).await.unwrap();
    let first = |events: &[Event]| {
        assert_eq!(events[0].seq, target);
        events[0].kind.clone()
    };
    let caught = first(&caught[0].as_ref().unwrap().rooms[0].events);
    assert_eq!(caught, first(&history.unwrap().events));
    caught
}

#[tokio::test]
async fn i12_who_has_left_does_not_see_later_edits() {
    let place = Place::new().await;
    let store = &place.store;
    let (owner, u) = (user(1), user(2));
    let mut writer = Writer::claim(store, "a", 0).await;
    writer.create(room(1), &[owner, u]);
    let untouched = writer.say(room(1), owner, "first");
    let edited = writer.say(room(1), owner, "first");
    let early = writer.event(room(1), owner, edit(edited, "early"));
    writer.commit().await;
    writer.remove(room(1), owner, u);
    // Edits of one batch: the one before the removal is theirs, as only the last one is kept.
    writer.event(room(1), owner, edit(untouched, "late"));
    writer.event(room(1), owner, edit(edited, "late"));
    writer.commit().await;
    let last = writer.event(room(1), owner, edit(edited, "later"));
    writer.commit().await;
    assert_eq!(seen(store, u, untouched).await, shown("first", None));
    assert_eq!(seen(store, u, edited).await, shown("early", Some(early)));
    assert_eq!(seen(store, owner, edited).await, shown("later", Some(last)));

    // Back again: what was written while they were away stays unseen, what is written now is seen.
    writer.add(room(1), owner, u);
    writer.commit().await;
    assert_eq!(seen(store, u, edited).await, shown("early", Some(early)));
    let back = writer.event(room(1), owner, edit(edited, "back"));
    writer.commit().await;
    assert_eq!(seen(store, u, edited).await, shown("back", Some(back)));
    assert_eq!(seen(store, u, untouched).await, shown("first", None));
}

/// I12: a message that is routed again goes to the members at its seq, so with the text of then.
#[tokio::test]
async fn i12_what_is_routed_again_is_as_it_was_first_said() {
    let place = Place::new().await;
    let store = &place.store;
    let owner = user(1);
    let mut writer = Writer::claim(store, "a", 0).await;
    writer.create(room(1), &[owner, user(2)]);
    let target = writer.say(room(1), owner, "first");
    let said = writer.batch.events[1].clone();
    writer.remove(room(1), owner, user(2));
    writer.event(room(1), owner, edit(target, "late"));
    writer.commit().await;
    let key = EventKey {
        room: room(1),
        sender: owner,
        kind: "message",
        id: said.id,
    };
    let found = store.find_events(&[key], &[]).await.unwrap().found;
    assert_eq!(found[&key].event, said);
    assert_eq!(found[&key].recipients, [owner, user(2)]);
    let outcome = store.find_outcome(room(1), owner, "message", said.id);
    assert_eq!(outcome.await.unwrap(), Some(said));
    assert_eq!(target, seq(2));
}
