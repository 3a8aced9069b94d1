//! The owner of a lane, as a classifier would be: keeps heads and stays, and writes batches.

use std::collections::HashMap;
use std::time::Duration;

use protocol::{Event, EventKind, Lane, Role, RoomId, RoomKind, Seq, UserId};
use store::{AppendError, Batch, LaneAdvance, RoleChanged, StayClosed, StayOpened, Store};
use uuid::Uuid;

pub(crate) const LEASE: Duration = Duration::from_secs(30);
pub(crate) const TOPIC: &str = "topic-1";

pub(crate) fn user(n: i64) -> UserId {
    UserId::new(n).unwrap()
}

pub(crate) fn room(n: i64) -> RoomId {
    RoomId::new(n).unwrap()
}

pub(crate) fn seq(n: i64) -> Seq {
    Seq::new(n).unwrap()
}

pub(crate) struct Writer {
    store: Store,
    pub(crate) advance: LaneAdvance,
    pub(crate) batch: Batch,
    heads: HashMap<RoomId, Seq>,
    stays: HashMap<(RoomId, UserId), Seq>,
}

impl Writer {
    /// Claims a lane that must be free.
    pub(crate) async fn claim(store: &Store, owner: &str, lane: i32) -> Self {
        let lane = Lane(lane);
        let claim = store.claim(owner, lane, TOPIC, LEASE).await.unwrap();
        let claim = claim.expect("the lane is free");
        Self {
            store: store.clone(),
            advance: LaneAdvance {
                lane,
                epoch: claim.epoch,
                expected_applied: claim.applied,
                applied: claim.applied,
                routed: claim.routed,
            },
            batch: Batch {
                owner: owner.to_owned(),
                lease: LEASE,
                ..Batch::default()
            },
            heads: HashMap::new(),
            stays: HashMap::new(),
        }
    }

    /// Adds an event under the next seq of its room.
    pub(crate) fn event(&mut self, room: RoomId, from: UserId, kind: EventKind) -> Seq {
        let seq = self.heads.entry(room).or_default();
        *seq = seq.next();
        self.batch.events.push(Event {
            room,
            seq: *seq,
            id: Uuid::new_v4(),
            from,
            at: 1_700_000_000_000,
            kind,
        });
        self.advance.applied += 1;
        *seq
    }

    /// A group whose first member owns it.
    pub(crate) fn create(&mut self, room: RoomId, members: &[UserId]) {
        let kind = EventKind::Created {
            room_kind: RoomKind::Group,
            name: "name".to_owned(),
            members: members.to_vec(),
        };
        let seq = self.event(room, members[0], kind);
        for user in members {
            let owner = *user == members[0];
            self.open(
                room,
                *user,
                seq,
                if owner { Role::Owner } else { Role::Member },
            );
        }
    }

    pub(crate) fn say(&mut self, room: RoomId, from: UserId, body: &str) -> Seq {
        self.event(room, from, EventKind::message(body.to_owned()))
    }

    pub(crate) fn add(&mut self, room: RoomId, by: UserId, user: UserId) -> Seq {
        let seq = self.event(room, by, EventKind::MemberAdded { user });
        self.open(room, user, seq, Role::Member);
        seq
    }

    pub(crate) fn remove(&mut self, room: RoomId, by: UserId, user: UserId) -> Seq {
        let left_seq = self.event(room, by, EventKind::MemberRemoved { user, owner: None });
        self.batch.closed.push(StayClosed {
            room,
            user,
            joined_seq: self.stays.remove(&(room, user)).unwrap(),
            left_seq,
        });
        left_seq
    }

    pub(crate) fn role(&mut self, room: RoomId, by: UserId, user: UserId, role: Role) {
        self.event(room, by, EventKind::RoleChanged { user, role });
        self.batch.roles.push(RoleChanged {
            room,
            user,
            joined_seq: self.stays[&(room, user)],
            role,
        });
    }

    fn open(&mut self, room: RoomId, user: UserId, joined_seq: Seq, role: Role) {
        self.stays.insert((room, user), joined_seq);
        self.batch.opened.push(StayOpened {
            room,
            user,
            joined_seq,
            role,
        });
    }

    /// What was collected, ready to be appended.
    pub(crate) fn take(&mut self) -> Batch {
        let next = Batch {
            owner: self.batch.owner.clone(),
            lease: LEASE,
            ..Batch::default()
        };
        let mut batch = std::mem::replace(&mut self.batch, next);
        batch.lanes.push(self.advance);
        self.advance.expected_applied = self.advance.applied;
        batch
    }

    pub(crate) async fn try_commit(&mut self) -> Result<(), AppendError> {
        let batch = self.take();
        self.store.append(&batch).await
    }

    pub(crate) async fn commit(&mut self) {
        self.try_commit().await.unwrap();
    }
}
