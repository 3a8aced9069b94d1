//! Every statement of the store, once.

use protocol::{DeviceToken, EventKind, Lane, Platform, RoomId};
use store::{CatchUpRequest, EventKey, HeldLane, Page, RoomKey, Scope, Store};

use crate::catch_up::{BYTES, request};
use crate::writer::{LEASE, TOPIC, Writer, seq, user};

/// Runs each statement, those that take rooms about this one alone. Users 1 and 2 are in it; the
/// writer owns lane 0 and knows the room.
pub(crate) async fn every_statement(store: &Store, writer: &mut Writer, room: RoomId) {
    let (one, two) = (user(1), user(2));
    store.ensure_lanes(4).await.unwrap();
    let said = writer.say(room, one, "said");
    let key = EventKey {
        room,
        sender: one,
        kind: "message",
        id: writer.batch.events.last().unwrap().id,
    };
    writer.commit().await;
    let edit = EventKind::Edited {
        target: said,
        body: "edited".to_owned(),
    };
    // Who has left before the edit sees the message as it was: that has to be looked for.
    writer.remove(room, one, two);
    writer.event(room, one, edit);
    writer.add(room, one, user(3));
    writer.commit().await;

    let rooms = [room];
    assert_eq!(store.load_rooms(&rooms).await.unwrap().len(), 1);
    let loaded = store.load_messages(&[(room, said)]).await.unwrap();
    assert_eq!(loaded.len(), 1);
    let found = store.find_events(&[key], &[Lane(0)]).await.unwrap();
    assert_eq!((found.found.len(), found.applied.len()), (1, 1));
    let raised = store.raise_marks(&[(room, one, said)]).await.unwrap();
    assert_eq!(raised.len(), 1);
    let outcome = store.find_outcome(room, one, "message", key.id);
    assert!(outcome.await.unwrap().is_some());
    assert!(store.room(one, room).await.unwrap().is_some());
    for page in [Page::After(seq(0)), Page::Before(said.next())] {
        let history = store.history(two, room, page, 100).await.unwrap().unwrap();
        assert!(history.events.iter().any(|event| event.seq == said));
    }
    let told = store.notices(&[(two, room, said)]).await.unwrap();
    assert_eq!(told.len(), 1);

    let gap = CatchUpRequest {
        scope: Scope::Named,
        marks: true,
        ..request(one, &[(room.get(), 0)])
    };
    let caught = store.catch_up(&[gap], BYTES).await.unwrap();
    assert_eq!(caught[0].as_ref().unwrap().rooms.len(), 1);
    assert!(!store.rooms_of(one, None, 100).await.unwrap().is_empty());
    store.crowded(&[one], room, 100).await.unwrap();

    store.reserve_room(RoomKey::Direct(one, two)).await.unwrap();
    let named = store.create_or_get_user("x").await.unwrap();
    assert_eq!(store.names(&[named]).await.unwrap().len(), 1);
    let token = DeviceToken::try_from("token".to_owned()).ok().unwrap();
    let device = store.register_device(one, Platform::Web, &token);
    let device = device.await.unwrap().unwrap();
    store.devices(one).await.unwrap();
    store.remove_device(one, device).await.unwrap();

    let (me, lane) = (writer.batch.owner.clone(), writer.advance.lane);
    let (epoch, routed) = (writer.advance.epoch, writer.advance.applied);
    let held = HeldLane {
        lane,
        epoch,
        routed,
    };
    store.heartbeat(&me, LEASE, &[held]).await.unwrap();
    store.claim("b", lane, TOPIC, LEASE).await.unwrap();
    store.cut_back(&me, lane, epoch, routed).await.unwrap();
    store.release(&me, lane, epoch, routed).await.unwrap();
    store.leave(&me).await.unwrap();
    store.ensure_push_partitions(1).await.unwrap();
    store.push_heartbeat(&me, LEASE, &[]).await.unwrap();
    store.push_claim(&me, 0, LEASE).await.unwrap();
    store.push_release(&me, 0, 0).await.unwrap();
    store.push_leave(&me).await.unwrap();
    store.ping().await.unwrap();
}
