//! A room's state, and how an event moves it on.

use std::sync::Arc;

use protocol::{Event, EventKind, Role, RoomId, RoomKind, Seq, UserId};

use super::members::{Member, Members};
use super::recent::{RecentIds, RecentTargets, Target};

/// Whether there is such a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existence {
    /// Reserved at most.
    Absent,
    /// There.
    Open(RoomKind),
    /// Was there; its tombstone keeps a late command from reviving it.
    Deleted,
}

/// The state of one room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Which.
    pub id: RoomId,
    /// Whether it is there.
    pub existence: Existence,
    /// The highest seq given out.
    pub head: Seq,
    /// Who is in.
    pub members: Members,
    pub(super) ids: RecentIds,
    pub(super) targets: RecentTargets,
}

/// What an event changes in the store beside itself and the head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Who sees the event: the members at its seq, and who just left by it.
    pub recipients: Arc<[UserId]>,
    /// Stays that begin with it.
    pub opened: Vec<(UserId, Role)>,
    /// Stays that end with it.
    pub closed: Vec<StayClosed>,
    /// Roles that change, each in the stay that began at the seq named.
    pub roles: Vec<(UserId, Seq, Role)>,
    /// An older message that it changes.
    pub edit: Option<Edit>,
}

/// A stay that ends. Who comes back has another one (trap 16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StayClosed {
    /// Whose.
    pub user: UserId,
    /// When it began: what tells it from the user's other stays.
    pub joined: Seq,
}

/// A message that is changed in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Which.
    pub target: Seq,
    /// Its new text; none leaves a tombstone.
    pub body: Option<String>,
}

impl Room {
    /// A room that is not there (yet).
    pub fn absent(id: RoomId) -> Self {
        Self {
            id,
            existence: Existence::Absent,
            head: Seq::ZERO,
            members: Members::default(),
            ids: RecentIds::default(),
            targets: RecentTargets::default(),
        }
    }

    /// A room as it stands in the store.
    pub fn loaded(id: RoomId, existence: Existence, head: Seq, members: Members) -> Self {
        Self {
            existence,
            head,
            members,
            ..Self::absent(id)
        }
    }

    /// The seq of a command that the state still remembers.
    pub fn seq_of(&self, command: &protocol::Command) -> Option<Seq> {
        let kind = command.kind.event_kind();
        self.ids.find(command.sender, kind, command.id)
    }

    /// Whether an edit or deletion of `seq` can be decided without asking the store.
    pub fn knows_target(&self, seq: Seq) -> bool {
        seq > self.head || seq == Seq::ZERO || self.targets.find(seq).is_some()
    }

    /// Tells the state about a stored message that it has forgotten.
    pub fn learn_target(&mut self, seq: Seq, target: Target) {
        if self.targets.find(seq).is_none() {
            self.targets.push(seq, target);
        }
    }

    /// Forgets down to the bounds. While a batch is decided nothing is forgotten: the store does
    /// not know its events yet, and the batch is bounded itself.
    #[must_use]
    pub fn trimmed(mut self) -> Self {
        self.ids.trim();
        self.targets.trim();
        self
    }

    /// Moves the state on by the event that [`decide`](super::decide) made of a command.
    pub fn apply(&mut self, event: &Event) -> Changes {
        debug_assert_eq!(event.seq, self.head.next(), "seqs have no gaps");
        let before = self.members.everyone();
        self.head = event.seq;
        self.ids
            .push(event.from, event.kind.word(), event.id, event.seq);
        let mut changes = Changes::default();
        match &event.kind {
            EventKind::Created {
                room_kind, members, ..
            } => {
                self.existence = Existence::Open(*room_kind);
                let role = |user| match room_kind {
                    RoomKind::Group if user == event.from => Role::Owner,
                    _ => Role::Member,
                };
                changes.opened = members.iter().map(|user| (*user, role(*user))).collect();
                self.members = Members::new(changes.opened.iter().map(|(user, role)| {
                    let joined = event.seq;
                    (
                        *user,
                        Member {
                            role: *role,
                            joined,
                        },
                    )
                }));
            }
            EventKind::Message { .. } => {
                let (sender, deleted) = (event.from, false);
                self.targets.push(event.seq, Target { sender, deleted });
            }
            EventKind::Edited { target, body } => {
                let (target, body) = (*target, Some(body.clone()));
                changes.edit = Some(Edit { target, body });
            }
            EventKind::Deleted { target } => {
                self.targets.mark_deleted(*target);
                let (target, body) = (*target, None);
                changes.edit = Some(Edit { target, body });
            }
            EventKind::MemberAdded { user } => {
                let (role, joined) = (Role::Member, event.seq);
                self.members.insert(*user, Member { role, joined });
                changes.opened.push((*user, role));
            }
            EventKind::MemberRemoved { user, owner } => {
                if let Some(Member { joined, .. }) = self.members.remove(*user) {
                    changes.closed.push(StayClosed {
                        user: *user,
                        joined,
                    });
                }
                if let Some(owner) = owner {
                    changes
                        .roles
                        .extend(self.members.set_role(*owner, Role::Owner));
                }
            }
            EventKind::RoleChanged { user, role } => {
                changes.roles.extend(self.members.set_role(*user, *role));
            }
            // No decision depends on a name: the store has it.
            EventKind::Renamed { .. } => {}
            EventKind::RoomDeleted => {
                self.existence = Existence::Deleted;
                let stays = std::mem::take(&mut self.members);
                changes.closed = stays
                    .iter()
                    .map(|(user, Member { joined, .. })| StayClosed { user, joined })
                    .collect();
            }
        }
        changes.recipients = match event.kind {
            // Who leaves by an event still sees it, and nothing after it (I12).
            EventKind::MemberRemoved { .. } | EventKind::RoomDeleted => before,
            _ => self.members.everyone(),
        };
        changes
    }
}
