//! Where a client goes on after an absence, and that it tells everything it hears.

use client::{Event, Events};
use protocol::{ClientFrame, EventKind, MessageId, Seq, ServerFrame};

use crate::gateway::{
    Gateway, Peer, connect, me, message, options, room, seq, unnamed, until, welcome_without_rooms,
};

fn cursor(peer: &Peer) -> Option<Seq> {
    match &peer.hello {
        ClientFrame::Hello { cursors, .. } => cursors.get(&room()).copied(),
        other => panic!("{other:?}"),
    }
}

fn told(event: &Event) -> Option<i64> {
    match event {
        Event::Message(message) => Some(message.seq.get()),
        _ => None,
    }
}

#[tokio::test]
async fn the_highest_number_seen_is_the_next_cursor() {
    let gateway = Gateway::start().await;
    let mut options = options(vec![gateway.url()]);
    options.cursors.insert(room(), seq(2));
    let (client, mut events) = client::Client::connect(options);
    let mut peer = gateway.welcome().await;
    assert_eq!(cursor(&peer), Some(seq(2)));
    peer.tell_raw(message(3, MessageId::from_u128(3))).await;
    let name = "another".to_owned();
    happens(&mut peer, &mut events, 4, EventKind::Renamed { name }).await;
    drop(peer);
    let peer = gateway.welcome().await;
    assert_eq!(cursor(&peer), Some(seq(4)));
    assert_eq!(client.cursors().get(&room()), Some(&seq(4)));
}

/// Something happens in the room, and the client has told it.
async fn happens(peer: &mut Peer, events: &mut Events, number: i64, kind: EventKind) {
    let event = protocol::Event {
        room: room(),
        seq: seq(number),
        id: MessageId::from_u128(u128::try_from(number).unwrap()),
        from: me(),
        at: 0,
        kind,
    };
    peer.tell_raw(event.to_frame()).await;
    until(events, |event| {
        matches!(event, Event::Room(event) if event.seq == seq(number)).then_some(())
    })
    .await;
}

/// A room that was left or deleted needs no cursor: a hello with all that ever were grows beyond its limit.
#[tokio::test]
async fn what_has_ended_is_named_no_more() {
    let other = protocol::UserId::new(2).unwrap();
    let removal = |user| EventKind::MemberRemoved { user, owner: None };
    for last in [removal(me()), EventKind::RoomDeleted] {
        let gateway = Gateway::start().await;
        let (client, mut events) = connect(vec![gateway.url()]);
        let mut peer = gateway.welcome().await;
        happens(&mut peer, &mut events, 3, removal(other)).await;
        assert_eq!(client.cursors().get(&room()), Some(&seq(3)));
        happens(&mut peer, &mut events, 4, last).await;
        drop(peer);
        assert_eq!(cursor(&gateway.welcome().await), None);
        assert_eq!(client.cursors(), [(unnamed(), seq(30))].into());
    }
}

/// I5: a hello without cursors is one that has seen nothing; who had one room and left it is told the next stay whole.
#[tokio::test]
async fn i5_the_last_cursor_stays() {
    let gateway = Gateway::start().await;
    let mut options = options(vec![gateway.url()]);
    options.cursors.insert(room(), seq(2));
    let (_client, mut events) = client::Client::connect(options);
    let mut peer = gateway.accept().await;
    peer.tell(&welcome_without_rooms()).await;
    happens(&mut peer, &mut events, 3, EventKind::RoomDeleted).await;
    drop(peer);
    assert_eq!(cursor(&gateway.welcome().await), Some(seq(3)));
}

/// Otherwise the next hello would begin at the head of then, and skip what was missed meanwhile.
#[tokio::test]
async fn i5_a_room_without_a_cursor_has_one_from_the_welcome_on() {
    let gateway = Gateway::start().await;
    let (client, mut events) = connect(vec![gateway.url()]);
    let peer = gateway.welcome().await;
    let begins = until(&mut events, |event| match event {
        Event::Connected(connected) => Some(connected.cursors.clone()),
        _ => None,
    })
    .await;
    assert_eq!(begins, [(unnamed(), seq(30))].into());
    drop(peer);
    let peer = gateway.welcome().await;
    let ClientFrame::Hello { cursors, .. } = &peer.hello else {
        panic!("{:?}", peer.hello);
    };
    assert_eq!(cursors.get(&unnamed()), Some(&seq(30)));
    assert_eq!(client.cursors().get(&unnamed()), Some(&seq(30)));
}

#[tokio::test]
async fn gaps_and_clamps_move_the_cursor() {
    let gateway = Gateway::start().await;
    let (_client, mut events) = connect(vec![gateway.url()]);
    let mut peer = gateway.welcome().await;
    peer.tell(&ServerFrame::Gap {
        room: room(),
        from: seq(1),
        to: seq(90),
    })
    .await;
    until(&mut events, |event| {
        matches!(event, Event::Gap { .. }).then_some(())
    })
    .await;
    drop(peer);
    let mut peer = gateway.welcome().await;
    assert_eq!(cursor(&peer), Some(seq(90)));
    peer.tell(&ServerFrame::CursorClamped {
        room: room(),
        head: seq(40),
    })
    .await;
    until(&mut events, |event| {
        matches!(event, Event::CursorClamped { .. }).then_some(())
    })
    .await;
    drop(peer);
    assert_eq!(cursor(&gateway.welcome().await), Some(seq(40)));
}

/// Trap 13: what somebody has read is no number of the log.
#[tokio::test]
async fn trap_13_a_read_mark_is_no_cursor() {
    let gateway = Gateway::start().await;
    let (_client, mut events) = connect(vec![gateway.url()]);
    let mut peer = gateway.welcome().await;
    peer.tell_raw(message(3, MessageId::from_u128(3))).await;
    peer.tell(&ServerFrame::Read {
        room: room(),
        user: me(),
        upto: seq(99),
    })
    .await;
    until(&mut events, |event| {
        matches!(event, Event::Read { .. }).then_some(())
    })
    .await;
    drop(peer);
    assert_eq!(cursor(&gateway.welcome().await), Some(seq(3)));
}

/// An oracle can only count what it is told.
#[tokio::test]
async fn doubles_and_disorder_are_told_as_they_come() {
    let gateway = Gateway::start().await;
    let (_client, mut events) = connect(vec![gateway.url()]);
    let mut peer = gateway.welcome().await;
    for number in [1, 3, 2, 2] {
        peer.tell_raw(message(number, MessageId::from_u128(9)))
            .await;
    }
    for number in [1, 3, 2, 2] {
        assert_eq!(until(&mut events, told).await, number);
    }
}
