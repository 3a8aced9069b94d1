//! Who may do what: the decision about one command.

use std::collections::BTreeSet;

use protocol::{Command, CommandKind, EventKind, RejectCode, Role, RoomKind, Seq, UserId};

use super::members::Member;
use super::recent::Target;
use super::state::{Existence, Room};

/// What an operator sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The most members of a group.
    pub group_limit: usize,
}

/// What becomes of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It happened: under the next seq.
    Store(EventKind),
    /// It happened before, under this seq (I2).
    Duplicate(Seq),
    /// It may not happen.
    Reject(RejectCode, &'static str),
}

/// Why it may not happen.
type Refusal = (RejectCode, &'static str);

const NOT_MEMBER: Refusal = (RejectCode::NotMember, "you are not a member of this room");
const DIRECT: Refusal = (
    RejectCode::DirectRoom,
    "a direct room keeps its two members and its name, and is never deleted",
);

/// Decides one command against the state of its room. `learn_target` must have been called for an
/// edit or deletion whose target the state does not know: what is unknown here is not there.
pub fn decide(room: &Room, command: &Command, rules: Rules) -> Decision {
    if let Some(seq) = room.seq_of(command) {
        return Decision::Duplicate(seq);
    }
    let decided = match (&command.kind, room.existence) {
        (CommandKind::Create { .. }, Existence::Open(_)) => return created_before(room, command),
        (_, Existence::Deleted) => Err((RejectCode::RoomDeleted, "this room was deleted")),
        (
            CommandKind::Create {
                room_kind,
                name,
                members,
            },
            Existence::Absent,
        ) => create(command.sender, *room_kind, name, members, rules),
        (_, Existence::Absent) => Err(NOT_MEMBER),
        (kind, Existence::Open(room_kind)) => match room.members.get(command.sender) {
            None => Err(NOT_MEMBER),
            Some(me) => change(room, room_kind, command.sender, me, kind, rules),
        },
    };
    match decided {
        Ok(event) => Decision::Store(event),
        Err((code, message)) => Decision::Reject(code, message),
    }
}

/// The id of a room is reserved under its pair or (creator, key): who asks for it again asks for the
/// same one, which is there. One per pair, however often asked, by either of the two.
fn created_before(room: &Room, command: &Command) -> Decision {
    if room.members.get(command.sender).is_some() {
        return Decision::Duplicate(Seq::ZERO.next());
    }
    let (code, message) = NOT_MEMBER;
    Decision::Reject(code, message)
}

fn create(
    creator: UserId,
    room_kind: RoomKind,
    name: &str,
    members: &[UserId],
    rules: Rules,
) -> Result<EventKind, Refusal> {
    let mut everyone: BTreeSet<UserId> = members.iter().copied().collect();
    everyone.insert(creator);
    match room_kind {
        RoomKind::Direct if everyone.len() != 2 => {
            return Err((RejectCode::Invalid, "a direct room has exactly two members"));
        }
        RoomKind::Group if everyone.len() > rules.group_limit => return Err(FULL),
        _ => {}
    }
    Ok(EventKind::Created {
        room_kind,
        name: name.to_owned(),
        members: everyone.into_iter().collect(),
    })
}

const FULL: Refusal = (
    RejectCode::RoomFull,
    "the room has as many members as it may",
);

/// A command of a member on an open room.
fn change(
    room: &Room,
    room_kind: RoomKind,
    sender: UserId,
    me: Member,
    kind: &CommandKind,
    rules: Rules,
) -> Result<EventKind, Refusal> {
    match kind {
        CommandKind::Create { .. } => Err((RejectCode::Invalid, "the room is there already")),
        CommandKind::Message { body } => Ok(EventKind::message(body.clone())),
        CommandKind::Edit { seq, body } => {
            if target(room, *seq)?.sender != sender {
                return Err((RejectCode::Forbidden, "only its sender may edit a message"));
            }
            let (target, body) = (*seq, body.clone());
            Ok(EventKind::Edited { target, body })
        }
        CommandKind::Delete { seq } => {
            if target(room, *seq)?.sender != sender && me.role < Role::Admin {
                return Err((
                    RejectCode::Forbidden,
                    "only its sender, an admin or an owner may delete a message",
                ));
            }
            Ok(EventKind::Deleted { target: *seq })
        }
        _ if room_kind == RoomKind::Direct => Err(DIRECT),
        CommandKind::Add { user } => {
            at_least(me, Role::Admin, "only admins and owners may add members")?;
            if room.members.get(*user).is_some() {
                return Err((RejectCode::AlreadyMember, "the user is a member already"));
            }
            if room.members.len() >= rules.group_limit {
                return Err(FULL);
            }
            Ok(EventKind::MemberAdded { user: *user })
        }
        CommandKind::Remove { user } => remove(room, sender, me, *user),
        CommandKind::Role { user, role } => {
            at_least(me, Role::Owner, "only owners may change roles")?;
            member(room, *user)?;
            if *role < Role::Owner && room.members.is_last_owner(*user) {
                return Err((
                    RejectCode::Forbidden,
                    "a group needs an owner: name one first",
                ));
            }
            let (user, role) = (*user, *role);
            Ok(EventKind::RoleChanged { user, role })
        }
        CommandKind::Rename { name } => {
            at_least(
                me,
                Role::Admin,
                "only admins and owners may rename the group",
            )?;
            Ok(EventKind::Renamed { name: name.clone() })
        }
        CommandKind::DeleteRoom => {
            at_least(me, Role::Owner, "only owners may delete the room")?;
            Ok(EventKind::RoomDeleted)
        }
    }
}

/// Anybody may leave; admins remove members, owners remove anybody.
fn remove(room: &Room, sender: UserId, me: Member, user: UserId) -> Result<EventKind, Refusal> {
    let them = member(room, user)?;
    let allowed = user == sender
        || me.role == Role::Owner
        || (me.role == Role::Admin && them.role == Role::Member);
    if !allowed {
        return Err((
            RejectCode::Forbidden,
            "admins may remove members, only owners may remove admins and owners",
        ));
    }
    let owner = match room.members.is_last_owner(user) {
        true => room.members.heir(user),
        false => None,
    };
    Ok(EventKind::MemberRemoved { user, owner })
}

fn at_least(me: Member, role: Role, message: &'static str) -> Result<(), Refusal> {
    match me.role >= role {
        true => Ok(()),
        false => Err((RejectCode::Forbidden, message)),
    }
}

fn member(room: &Room, user: UserId) -> Result<Member, Refusal> {
    let absent = (RejectCode::NoSuchMember, "the user is not a member");
    room.members.get(user).ok_or(absent)
}

fn target(room: &Room, seq: Seq) -> Result<Target, Refusal> {
    let absent = (RejectCode::NoSuchMessage, "there is no such message");
    match room.targets.find(seq) {
        Some(target) if !target.deleted => Ok(target),
        _ => Err(absent),
    }
}
