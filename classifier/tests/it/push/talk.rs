//! The room that pushes are about, written as a classifier writes it.

use std::time::Duration;

use protocol::{Event, EventKind, Lane, Role, RoomId, RoomKind, Seq, UserId};
use store::{Batch, LaneAdvance, StayOpened, Store};
use uuid::Uuid;

use super::bench::user;

const OWNER: &str = "test";
const LEASE: Duration = Duration::from_secs(600);
/// Messages that are there from the start: seqs 2 to this one.
const LAST: i64 = 130;

/// A group that user 1 made (seq 1), of users 1 to 20. Its messages are all user 1's, and say which one
/// they are.
pub(super) struct Talk {
    store: Store,
    advance: LaneAdvance,
    head: Seq,
}

impl Talk {
    pub(super) fn room() -> RoomId {
        RoomId::new(7).unwrap()
    }

    pub(super) async fn begin(store: &Store) -> Self {
        store.ensure_lanes(1).await.unwrap();
        let claim = store.claim(OWNER, Lane(0), "topic", LEASE).await.unwrap();
        let claim = claim.unwrap();
        let mut talk = Self {
            store: store.clone(),
            advance: LaneAdvance {
                lane: Lane(0),
                epoch: claim.epoch,
                expected_applied: claim.applied,
                applied: claim.applied,
                routed: claim.routed,
            },
            head: Seq::ZERO,
        };
        let members: Vec<UserId> = (1..=20).map(user).collect();
        let opened = members.iter().map(|user| StayOpened {
            room: Self::room(),
            user: *user,
            joined_seq: Seq::ZERO.next(),
            role: Role::Member,
        });
        let opened = opened.collect();
        let created = EventKind::Created {
            room_kind: RoomKind::Group,
            name: "garden".into(),
            members,
        };
        let said = (2..=LAST).map(|seq| EventKind::message(format!("message {seq}")));
        let kinds = std::iter::once(created).chain(said).collect();
        talk.append(kinds, opened).await;
        talk
    }

    pub(super) async fn edit(&mut self, seq: i64, body: &str) {
        let edited = EventKind::Edited {
            target: Seq::new(seq).unwrap(),
            body: body.into(),
        };
        self.append(vec![edited], Vec::new()).await;
    }

    pub(super) async fn delete(&mut self, seq: i64) {
        let target = Seq::new(seq).unwrap();
        let deleted = EventKind::Deleted { target };
        self.append(vec![deleted], Vec::new()).await;
    }

    async fn append(&mut self, kinds: Vec<EventKind>, opened: Vec<StayOpened>) {
        let mut events = Vec::with_capacity(kinds.len());
        for kind in kinds {
            self.head = self.head.next();
            events.push(Event {
                room: Self::room(),
                seq: self.head,
                id: Uuid::new_v4(),
                from: user(1),
                at: 1_700_000_000_000,
                kind,
            });
            self.advance.applied += 1;
        }
        let batch = Batch {
            owner: OWNER.into(),
            lease: LEASE,
            lanes: vec![self.advance],
            events,
            opened,
            ..Batch::default()
        };
        self.store.append(&batch).await.unwrap();
        self.advance.expected_applied = self.advance.applied;
    }
}
