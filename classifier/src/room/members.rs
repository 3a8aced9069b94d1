//! Who is in a room, with which role, since when.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::{Role, Seq, UserId};

/// One member's present stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// What they may do.
    pub role: Role,
    /// The seq of the event that let them in: the first they may see.
    pub joined: Seq,
}

/// The members of a room. A copy costs nothing until one of the two changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    by_user: Arc<BTreeMap<UserId, Member>>,
    /// The same users as a slice that every event of the room shares: members change rarely,
    /// messages come often.
    everyone: Arc<[UserId]>,
}

impl Members {
    /// Members as they stand in the store.
    pub fn new(members: impl IntoIterator<Item = (UserId, Member)>) -> Self {
        let by_user: BTreeMap<_, _> = members.into_iter().collect();
        Self {
            everyone: by_user.keys().copied().collect(),
            by_user: Arc::new(by_user),
        }
    }

    /// This user's stay, if they are in.
    pub fn get(&self, user: UserId) -> Option<Member> {
        self.by_user.get(&user).copied()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.by_user.len()
    }

    /// Whether nobody is in.
    pub fn is_empty(&self) -> bool {
        self.by_user.is_empty()
    }

    /// All of them, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (UserId, Member)> + '_ {
        self.by_user.iter().map(|(user, member)| (*user, *member))
    }

    /// All of them, shared.
    pub fn everyone(&self) -> Arc<[UserId]> {
        Arc::clone(&self.everyone)
    }

    /// Whether `user` is the only owner.
    pub fn is_last_owner(&self, user: UserId) -> bool {
        let mut owners = self.iter().filter(|(_, m)| m.role == Role::Owner);
        owners.next().is_some_and(|(owner, _)| owner == user) && owners.next().is_none()
    }

    /// Who owns the group when `leaver`, its last owner, has gone: the highest role first, then the
    /// longest stay, then the lowest id, so that every replay names the same one.
    pub fn heir(&self, leaver: UserId) -> Option<UserId> {
        self.iter()
            .filter(|(user, _)| *user != leaver)
            .min_by_key(|(user, member)| (std::cmp::Reverse(member.role), member.joined, *user))
            .map(|(user, _)| user)
    }

    pub(super) fn insert(&mut self, user: UserId, member: Member) {
        Arc::make_mut(&mut self.by_user).insert(user, member);
        self.everyone = self.by_user.keys().copied().collect();
    }

    pub(super) fn remove(&mut self, user: UserId) -> Option<Member> {
        let gone = Arc::make_mut(&mut self.by_user).remove(&user);
        self.everyone = self.by_user.keys().copied().collect();
        gone
    }

    /// What the store has to know about it: whose stay, and which.
    pub(super) fn set_role(&mut self, user: UserId, role: Role) -> Option<(UserId, Seq, Role)> {
        let member = Arc::make_mut(&mut self.by_user).get_mut(&user)?;
        member.role = role;
        Some((user, member.joined, role))
    }
}
