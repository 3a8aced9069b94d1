//! Properties of the room machine over random histories, and its rules one by one.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use protocol::{
    Command, CommandKind, Event, MessageId, RejectCode, Role, RoomId, RoomKind, Seq, UserId,
    VERSION,
};

use super::{Changes, Decision, Existence, RECENT_IDS, Room, Rules, decide};

const RULES: Rules = Rules { group_limit: 5 };

fn user(n: i64) -> UserId {
    UserId::new(n).unwrap()
}

fn seq(n: i64) -> Seq {
    Seq::new(n).unwrap()
}

fn command(sender: i64, id: u128, kind: CommandKind) -> Command {
    Command {
        v: VERSION,
        room: RoomId::new(1).unwrap(),
        sender: user(sender),
        id: MessageId::from_u128(id),
        retry: false,
        at: 0,
        origin: None,
        kind,
    }
}

/// Decides and applies, as a batch does.
fn step(room: &mut Room, command: &Command) -> (Decision, Option<Changes>) {
    let decision = decide(room, command, RULES);
    let Decision::Store(kind) = &decision else {
        return (decision, None);
    };
    let event = Event {
        room: room.id,
        seq: room.head.next(),
        id: command.id,
        from: command.sender,
        at: command.at,
        kind: kind.clone(),
    };
    let changes = room.apply(&event);
    (decision, Some(changes))
}

struct Script {
    room: Room,
    next: u128,
}

impl Script {
    fn new() -> Self {
        let room = Room::absent(RoomId::new(1).unwrap());
        Self { room, next: 0 }
    }

    /// A group of 1 (owner), 2 and 3.
    fn group() -> Self {
        let mut script = Self::new();
        script.stored(
            1,
            CommandKind::Create {
                room_kind: RoomKind::Group,
                name: "g".into(),
                members: vec![user(2), user(3)],
            },
        );
        script
    }

    fn direct() -> Self {
        let mut script = Self::new();
        script.stored(
            1,
            CommandKind::Create {
                room_kind: RoomKind::Direct,
                name: String::new(),
                members: vec![user(1), user(2)],
            },
        );
        script
    }

    fn step(&mut self, sender: i64, kind: CommandKind) -> (Decision, Option<Changes>) {
        self.next += 1;
        step(&mut self.room, &command(sender, self.next, kind))
    }

    #[track_caller]
    fn stored(&mut self, sender: i64, kind: CommandKind) -> Changes {
        let (decision, changes) = self.step(sender, kind);
        changes.unwrap_or_else(|| panic!("not stored: {decision:?}"))
    }

    #[track_caller]
    fn refused(&mut self, sender: i64, kind: CommandKind, code: RejectCode) {
        let before = self.room.clone();
        match self.step(sender, kind).0 {
            Decision::Reject(c, _) => assert_eq!(c, code),
            other => panic!("not rejected: {other:?}"),
        }
        assert_eq!(self.room, before, "a rejection changes nothing");
    }
}

fn say() -> CommandKind {
    CommandKind::Message { body: "hi".into() }
}

fn add(n: i64) -> CommandKind {
    CommandKind::Add { user: user(n) }
}

fn remove(n: i64) -> CommandKind {
    CommandKind::Remove { user: user(n) }
}

fn role(n: i64, role: Role) -> CommandKind {
    CommandKind::Role {
        user: user(n),
        role,
    }
}

fn edit(n: i64) -> CommandKind {
    CommandKind::Edit {
        seq: seq(n),
        body: "new".into(),
    }
}

fn delete(n: i64) -> CommandKind {
    CommandKind::Delete { seq: seq(n) }
}

fn rename() -> CommandKind {
    CommandKind::Rename { name: "n".into() }
}

fn any_kind() -> impl Strategy<Value = CommandKind> {
    let who = 1..6_i64;
    prop_oneof![
        2 => proptest::collection::vec(1..8_i64, 0..7).prop_map(|members| CommandKind::Create {
            room_kind: RoomKind::Group,
            name: "g".into(),
            members: members.into_iter().map(user).collect(),
        }),
        6 => Just(say()),
        3 => who.clone().prop_map(add),
        3 => who.clone().prop_map(remove),
        2 => (who, prop_oneof![Just(Role::Member), Just(Role::Admin), Just(Role::Owner)])
            .prop_map(|(u, r)| role(u, r)),
        2 => (0..12_i64).prop_map(edit),
        2 => (0..12_i64).prop_map(delete),
        1 => Just(rename()),
        1 => Just(CommandKind::DeleteRoom),
    ]
}

fn any_history() -> impl Strategy<Value = Vec<Command>> {
    // Few ids: retries with the same id are common.
    let one = (1..6_i64, 0..40_u128, any_kind()).prop_map(|(s, id, kind)| command(s, id, kind));
    proptest::collection::vec(one, 0..60)
}

proptest! {
    /// I2: seqs are 1…n without gaps, and a command that was stored is never stored again.
    #[test]
    fn i2_seqs_have_no_gaps_and_commands_are_decided_once(history in any_history()) {
        let mut room = Room::absent(RoomId::new(1).unwrap());
        let mut seqs: HashMap<(UserId, &str, MessageId), Seq> = HashMap::new();
        for command in &history {
            let key = (command.sender, command.kind.event_kind(), command.id);
            let before = room.head;
            match step(&mut room, command).0 {
                Decision::Store(_) => {
                    prop_assert_eq!(room.head, before.next());
                    prop_assert!(seqs.insert(key, room.head).is_none(), "stored twice");
                }
                Decision::Duplicate(seq) => {
                    prop_assert_eq!(room.head, before);
                    let create = matches!(command.kind, CommandKind::Create { .. });
                    prop_assert_eq!(seq, *seqs.get(&key).unwrap_or(&Seq::ZERO.next()));
                    prop_assert!(create || seqs.contains_key(&key));
                }
                Decision::Reject(..) => {
                    prop_assert_eq!(room.head, before);
                    prop_assert!(!seqs.contains_key(&key), "trap 1: stored, then called rejected");
                }
            }
        }
    }

    /// I12, trap 3 and trap 16: who sees an event is who is in at its seq, told by the stays that
    /// the store gets, one row each.
    #[test]
    fn i12_recipients_are_the_stays_at_that_seq(history in any_history()) {
        let mut room = Room::absent(RoomId::new(1).unwrap());
        let mut stays: Vec<(UserId, Seq, Option<Seq>)> = Vec::new();
        for command in &history {
            let Some(changes) = step(&mut room, command).1 else { continue };
            for (user, _) in &changes.opened {
                prop_assert!(!stays.iter().any(|(u, _, left)| u == user && left.is_none()));
                stays.push((*user, room.head, None));
            }
            for closed in &changes.closed {
                let stay = stays.iter_mut().find(|(u, joined, left)| {
                    *u == closed.user && *joined == closed.joined && left.is_none()
                });
                let stay = stay.expect("a stay that ends has begun");
                stay.2 = Some(room.head);
            }
            let visible: HashSet<UserId> = stays.iter()
                .filter(|(_, joined, left)| *joined <= room.head && left.is_none_or(|l| l >= room.head))
                .map(|(user, ..)| *user)
                .collect();
            prop_assert_eq!(visible, changes.recipients.iter().copied().collect::<HashSet<_>>());
            prop_assert!(changes.recipients.contains(&command.sender));
        }
    }

    /// A group that has members has an owner.
    #[test]
    fn an_open_group_has_an_owner(history in any_history()) {
        let mut room = Room::absent(RoomId::new(1).unwrap());
        for command in &history {
            step(&mut room, command);
            let owned = room.members.iter().any(|(_, m)| m.role == Role::Owner);
            prop_assert!(owned || room.members.is_empty());
            prop_assert!(room.members.len() <= RULES.group_limit);
        }
    }
}

#[test]
fn a_direct_room_keeps_its_members_and_is_never_deleted() {
    let mut script = Script::direct();
    for kind in [
        add(3),
        remove(1),
        remove(2),
        role(2, Role::Admin),
        rename(),
        CommandKind::DeleteRoom,
    ] {
        script.refused(1, kind, RejectCode::DirectRoom);
    }
    script.stored(2, say());
}

#[test]
fn a_direct_room_is_one_per_pair_whoever_asks_again() {
    let mut script = Script::direct();
    script.stored(1, say());
    let again = || CommandKind::Create {
        room_kind: RoomKind::Direct,
        name: String::new(),
        members: vec![user(1), user(2)],
    };
    assert_eq!(script.step(1, again()).0, Decision::Duplicate(seq(1)));
    assert_eq!(script.step(2, again()).0, Decision::Duplicate(seq(1)));
    script.refused(3, again(), RejectCode::NotMember);
}

#[test]
fn a_direct_room_has_two_different_members() {
    let mut script = Script::new();
    for members in [vec![user(1)], vec![user(1), user(2), user(3)]] {
        let create = CommandKind::Create {
            room_kind: RoomKind::Direct,
            name: String::new(),
            members,
        };
        script.refused(1, create, RejectCode::Invalid);
    }
}

#[test]
fn groups_stop_at_their_limit() {
    let mut script = Script::group();
    script.stored(1, add(4));
    script.stored(1, add(5));
    script.refused(1, add(6), RejectCode::RoomFull);
    script.refused(1, add(2), RejectCode::AlreadyMember);
}

/// I12: from its removal on a user gets nothing; the removal itself it still sees.
#[test]
fn i12_the_removed_sees_its_removal_and_nothing_more() {
    let mut script = Script::group();
    let removal = script.stored(1, remove(2));
    assert_eq!(&*removal.recipients, &[user(1), user(2), user(3)]);
    let message = script.stored(1, say());
    assert_eq!(&*message.recipients, &[user(1), user(3)]);
    script.refused(2, say(), RejectCode::NotMember);
}

/// Trap 3: a member's message behind its removal is refused within one batch as well, because
/// commands are decided one after the other on the state that the one before left.
#[test]
fn trap3_remove_then_message_is_decided_in_order() {
    let mut script = Script::group();
    script.stored(2, say());
    script.stored(1, remove(2));
    script.refused(2, say(), RejectCode::NotMember);
}

/// Trap 1: a redelivered `add` of a member who was removed since is a duplicate, not a return.
#[test]
fn trap1_a_redelivered_add_brings_nobody_back() {
    let mut script = Script::group();
    let added = command(1, 77, add(4));
    step(&mut script.room, &added).1.unwrap();
    script.stored(1, remove(4));
    let (decision, _) = step(&mut script.room, &added);
    assert_eq!(decision, Decision::Duplicate(seq(2)));
    assert_eq!(script.room.members.get(user(4)), None);
}

#[test]
fn a_deleted_room_stays_deleted() {
    let mut script = Script::group();
    let gone = script.stored(1, CommandKind::DeleteRoom);
    assert_eq!(gone.recipients.len(), 3, "everybody sees the deletion");
    assert_eq!(gone.closed.len(), 3, "a deleted room ends all stays");
    script.refused(1, say(), RejectCode::RoomDeleted);
    let create = CommandKind::Create {
        room_kind: RoomKind::Group,
        name: "g".into(),
        members: vec![],
    };
    script.refused(1, create, RejectCode::RoomDeleted);
    assert_eq!(script.room.existence, Existence::Deleted);
}

#[test]
fn the_last_owner_hands_ownership_on() {
    let mut script = Script::group();
    script.stored(1, role(3, Role::Admin));
    let left = script.stored(1, remove(1));
    assert_eq!(
        left.roles,
        vec![(user(3), seq(1), Role::Owner)],
        "admins come first"
    );
    let left = script.stored(3, remove(3));
    assert_eq!(left.roles, vec![(user(2), seq(1), Role::Owner)]);
    script.stored(2, remove(2));
    assert!(script.room.members.is_empty());
}

#[test]
fn roles_bound_what_members_may_do() {
    let mut script = Script::group();
    script.refused(2, add(4), RejectCode::Forbidden);
    script.refused(2, remove(3), RejectCode::Forbidden);
    script.refused(2, rename(), RejectCode::Forbidden);
    script.refused(2, role(2, Role::Owner), RejectCode::Forbidden);
    script.refused(2, CommandKind::DeleteRoom, RejectCode::Forbidden);
    script.stored(1, role(2, Role::Admin));
    script.stored(2, add(4));
    script.stored(2, rename());
    script.refused(2, remove(1), RejectCode::Forbidden);
    script.refused(2, CommandKind::DeleteRoom, RejectCode::Forbidden);
    script.stored(2, remove(4));
    script.refused(1, role(1, Role::Member), RejectCode::Forbidden);
    script.refused(1, role(5, Role::Admin), RejectCode::NoSuchMember);
}

#[test]
fn only_the_sender_edits_and_admins_delete() {
    let mut script = Script::group();
    script.stored(2, say());
    script.refused(1, edit(2), RejectCode::Forbidden);
    script.refused(3, delete(2), RejectCode::Forbidden);
    script.refused(2, edit(1), RejectCode::NoSuchMessage);
    script.stored(2, edit(2));
    script.stored(1, delete(2));
    script.refused(2, edit(2), RejectCode::NoSuchMessage);
    script.refused(2, delete(2), RejectCode::NoSuchMessage);
    script.refused(2, edit(9), RejectCode::NoSuchMessage);
}

/// I9: what a state remembers is bounded between batches, and what a batch made is known whole.
#[test]
fn i9_what_is_remembered_is_bounded() {
    let mut script = Script::group();
    for _ in 0..(RECENT_IDS * 3) {
        script.stored(1, say());
    }
    assert!(script.room.knows_target(seq(2)));
    let room = script.room.trimmed();
    assert!(!room.knows_target(seq(2)));
    assert!(room.knows_target(room.head));
    assert_eq!(room.seq_of(&command(1, 2, say())), None);
}
