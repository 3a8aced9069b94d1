//! Every encoding reads back what it wrote, and never panics on what it did not write.
#![expect(
    clippy::unwrap_used,
    reason = "a test that can't go on says so by panicking"
)]

use proptest::prelude::*;
use protocol::{
    ClientFrame, Command, CommandKind, DeliveryHeaders, Event, EventKind, Home, Origin, Role,
    RoomId, RoomKind, Seq, SignalRecord, Target, UserId, VERSION,
};
use uuid::Uuid;

fn user() -> impl Strategy<Value = UserId> {
    (1..=protocol::MAX_ID).prop_map(|n| UserId::new(n).unwrap())
}

fn room() -> impl Strategy<Value = RoomId> {
    (1..=protocol::MAX_ID).prop_map(|n| RoomId::new(n).unwrap())
}

fn seq() -> impl Strategy<Value = Seq> {
    (0..=protocol::MAX_ID).prop_map(|n| Seq::new(n).unwrap())
}

fn uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn body() -> impl Strategy<Value = String> {
    "[^\u{0}]{1,40}"
}

fn command_kind() -> impl Strategy<Value = CommandKind> {
    prop_oneof![
        (body(), proptest::collection::vec(user(), 0..5)).prop_map(|(name, members)| {
            CommandKind::Create {
                room_kind: RoomKind::Group,
                name,
                members,
            }
        }),
        body().prop_map(|body| CommandKind::Message { body }),
        (seq(), body()).prop_map(|(seq, body)| CommandKind::Edit { seq, body }),
        seq().prop_map(|seq| CommandKind::Delete { seq }),
        user().prop_map(|user| CommandKind::Add { user }),
        user().prop_map(|user| CommandKind::Remove { user }),
        user().prop_map(|user| CommandKind::Role {
            user,
            role: Role::Admin
        }),
        body().prop_map(|name| CommandKind::Rename { name }),
        Just(CommandKind::DeleteRoom),
    ]
}

fn event_kind() -> impl Strategy<Value = EventKind> {
    prop_oneof![
        (
            body(),
            proptest::option::of(seq()),
            proptest::option::of(seq())
        )
            .prop_map(|(body, edited, deleted)| EventKind::Message {
                body,
                edited,
                deleted
            }),
        (seq(), body()).prop_map(|(target, body)| EventKind::Edited { target, body }),
        seq().prop_map(|target| EventKind::Deleted { target }),
        (user(), proptest::option::of(user()))
            .prop_map(|(user, owner)| EventKind::MemberRemoved { user, owner }),
        (user(), body()).prop_map(|(user, name)| EventKind::Created {
            room_kind: RoomKind::Direct,
            name,
            members: vec![user],
        }),
        Just(EventKind::RoomDeleted),
    ]
}

proptest! {
    #[test]
    fn commands_read_back(
        room in room(), sender in user(), id in uuid(), retry: bool, at: i64,
        session in proptest::option::of(uuid()), kind in command_kind(),
    ) {
        let origin = session.map(|session| Origin { home: Home(7), session });
        let command = Command { v: VERSION, room, sender, id, retry, at, origin, kind };
        prop_assert_eq!(Command::decode(&command.encode()).unwrap(), command);
    }

    #[test]
    fn events_read_back_from_their_columns(kind in event_kind()) {
        prop_assert_eq!(EventKind::from_stored(kind.word(), kind.content()).unwrap(), kind);
    }

    #[test]
    fn delivery_headers_read_back(
        room in room(), seq in proptest::option::of(seq()),
        users in proptest::collection::vec(user(), 0..50), session in proptest::option::of(uuid()),
        blind: bool,
    ) {
        let target = session.map_or(Target::Users(users), Target::Session);
        let headers = DeliveryHeaders { room: Some(room), seq, target, blind };
        let encoded = headers.encode();
        let back = DeliveryHeaders::decode(encoded.iter().map(|(k, v)| (*k, v.as_ref())));
        prop_assert_eq!(back.unwrap(), headers);
    }

    /// I11: whatever stands in a topic or on a socket is answered, never a panic.
    #[test]
    fn garbage_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Command::decode(&bytes);
        let _ = ClientFrame::decode(&bytes);
        let _ = SignalRecord::decode(&bytes);
        let _ = DeliveryHeaders::decode([("v", &[VERSION][..]), ("to", &bytes)]);
        let _ = DeliveryHeaders::decode([("v", &[VERSION][..]), ("session", &bytes)]);
        let _ = DeliveryHeaders::decode([("v", &bytes[..])]);
    }
}

#[test]
fn the_frame_of_a_message_is_what_the_protocol_says() {
    let event = Event {
        room: RoomId::new(3).unwrap(),
        seq: Seq::new(7).unwrap(),
        id: Uuid::nil(),
        from: UserId::new(2).unwrap(),
        at: 1_700_000_000_120,
        kind: EventKind::message("hi \"you\"".to_owned()),
    };
    assert_eq!(
        std::str::from_utf8(&event.to_frame()).unwrap(),
        r#"{"type":"message","room":3,"seq":7,"id":"00000000-0000-0000-0000-000000000000","from":2,"body":"hi \"you\"","at":"2023-11-14T22:13:20.120Z"}"#
    );
}

#[test]
fn an_unknown_type_is_told_from_a_malformed_frame() {
    use protocol::BadFrame::{Malformed, UnknownType};
    assert!(
        matches!(ClientFrame::decode(br#"{"type":"dance"}"#), Err(UnknownType(t)) if t == "dance")
    );
    assert!(matches!(
        ClientFrame::decode(br#"{"type":"send"}"#),
        Err(Malformed(_))
    ));
    assert!(matches!(ClientFrame::decode(b"[1]"), Err(Malformed(_))));
    let ok = br#"{"type":"typing","room":1,"colour":"red"}"#;
    assert!(
        ClientFrame::decode(ok).is_ok(),
        "unknown fields are ignored"
    );
}

/// Trap 12 at the second door: what reached `chat-send` all the same is poison with a reason.
#[test]
fn a_command_with_a_nul_is_invalid() {
    let text = r#"{"v":1,"room":1,"sender":1,"id":"00000000-0000-0000-0000-000000000000","at":0,"kind":"message","body":"a\u0000"}"#;
    assert!(matches!(
        Command::decode(text.as_bytes()),
        Err(protocol::Invalid::Content { .. })
    ));
}

/// I11: what is decided becomes an event, and an event has to fit into a record: no part of a command
/// is of any size.
#[test]
fn i11_the_name_of_a_direct_room_is_checked() {
    let create = |name: &str| CommandKind::Create {
        room_kind: RoomKind::Direct,
        name: name.to_owned(),
        members: Vec::new(),
    };
    assert!(create("").check().is_ok());
    assert!(create(&"x".repeat(2_000_000)).check().is_err());
}

/// I11: a record of a later build is told by its version, whatever else is new in it.
#[test]
fn i11_a_later_version_is_told_from_garbage() {
    let command = br#"{"v":2,"room":1,"kind":"poll","choices":[]}"#;
    let signal = br#"{"v":300,"kind":"thinking"}"#;
    let errors = [
        Command::decode(command).unwrap_err(),
        SignalRecord::decode(signal).unwrap_err(),
    ];
    for (error, version) in errors.iter().zip([2, 300]) {
        assert!(
            matches!(error, protocol::Invalid::Version(v) if *v == version),
            "{error}"
        );
    }
    let garbage = Command::decode(br#"{"v":1,"kind":"poll"}"#);
    assert!(matches!(garbage, Err(protocol::Invalid::Json(_))));
}
