//! Postgres, played: the fence, uniqueness and stays are real, the failures are the test's.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use classifier::ports::Ledger;
use protocol::{Event, EventKind, Lane, RoomId, RoomKind, Seq, UserId};
use store::{
    AppendError, Batch, Claim, EventKey, FoundEvent, FoundEvents, HeldLane, LaneRow, LaneTable,
    MarkRaised, Member, MessageTarget, StayClosed, StayOpened, StoreError, StoredRoom,
};

/// What happens to the next append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Stored; the answer is lost.
    AnswerLost,
    /// Not stored; nobody can tell.
    Vanished,
    /// Not stored: a full disk, a restart.
    Unavailable,
    /// Another process takes this lane before it.
    Stolen(i32),
}

#[derive(Default)]
struct Tables {
    lanes: BTreeMap<Lane, LaneRow>,
    events: Vec<Event>,
    stays: Vec<(StayOpened, Option<Seq>)>,
    faults: VecDeque<Fault>,
    appends: usize,
    heartbeats: usize,
    /// Reading this room fails, every time.
    corrupt: Option<RoomId>,
    /// So many times rooms are not read, because Postgres is away.
    lost_reads: usize,
    marks: HashMap<(RoomId, UserId), Seq>,
    /// So many claims find the row locked.
    locked_claims: usize,
    members: Vec<Member>,
    /// Somebody has left who still had a lane.
    left_with_lanes: bool,
}

/// All of it; clones share it.
#[derive(Clone, Default)]
pub(super) struct Postgres(Arc<Mutex<Tables>>);

impl Postgres {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap()
    }

    pub(super) fn with_lanes(lanes: i32) -> Self {
        let postgres = Self::default();
        for lane in (0..lanes).map(Lane) {
            let row = LaneRow {
                lane,
                topic_id: None,
                owner: None,
                ttl_left: Duration::ZERO,
                epoch: 0,
                applied: -1,
                routed: -1,
            };
            postgres.tables().lanes.insert(lane, row);
        }
        postgres
    }

    pub(super) fn fault(&self, fault: Fault) {
        self.tables().faults.push_back(fault);
    }

    pub(super) fn lane(&self, lane: i32) -> LaneRow {
        self.tables().lanes[&Lane(lane)].clone()
    }

    pub(super) fn change_lane(&self, lane: i32, change: impl FnOnce(&mut LaneRow)) {
        change(self.tables().lanes.get_mut(&Lane(lane)).unwrap());
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.tables().events.clone()
    }

    pub(super) fn appends(&self) -> usize {
        self.tables().appends
    }

    pub(super) fn corrupt(&self, room: RoomId) {
        self.tables().corrupt = Some(room);
    }

    pub(super) fn lose_reads(&self, n: usize) {
        self.tables().lost_reads = n;
    }

    pub(super) fn heartbeats(&self) -> usize {
        self.tables().heartbeats
    }

    /// Whether somebody was taken off the list of members before giving its lanes back.
    pub(super) fn left_with_lanes(&self) -> bool {
        self.tables().left_with_lanes
    }

    pub(super) fn lock_claims(&self, n: usize) {
        self.tables().locked_claims = n;
    }

    pub(super) fn members(&self, room: RoomId) -> Vec<UserId> {
        let tables = self.tables();
        let open = tables
            .stays
            .iter()
            .filter(|(s, left)| s.room == room && left.is_none());
        open.map(|(stay, _)| stay.user).collect()
    }
}

impl Tables {
    fn recipients(&self, event: &Event) -> Vec<UserId> {
        let stays = self.stays.iter().filter(|(stay, left)| {
            stay.room == event.room
                && stay.joined_seq <= event.seq
                && left.is_none_or(|left| left >= event.seq)
        });
        stays.map(|(stay, _)| stay.user).collect()
    }

    fn check(&self, batch: &Batch) -> Result<(), AppendError> {
        let fenced: Vec<Lane> = batch
            .lanes
            .iter()
            .filter(|advance| {
                let row = &self.lanes[&advance.lane];
                row.owner.as_ref() != Some(&batch.owner)
                    || row.epoch != advance.epoch
                    || row.applied != advance.expected_applied
            })
            .map(|advance| advance.lane)
            .collect();
        if !fenced.is_empty() {
            return Err(AppendError::Fenced(fenced));
        }
        for (n, event) in batch.events.iter().enumerate() {
            let before = || self.events.iter().chain(&batch.events[..n]);
            if bad(event) {
                return Err(AppendError::BadData {
                    sqlstate: "22P05".into(),
                    message: "played".into(),
                });
            }
            if before().any(|e| key(e) == key(event)) {
                return Err(AppendError::IdTaken);
            }
            let head = before()
                .filter(|e| e.room == event.room)
                .map(|e| e.seq)
                .max();
            if event.seq != head.unwrap_or_default().next() {
                return Err(AppendError::SeqTaken("played".into()));
            }
        }
        Ok(())
    }

    fn store(&mut self, batch: &Batch) {
        self.events.extend(batch.events.iter().cloned());
        self.stays
            .extend(batch.opened.iter().map(|stay| (*stay, None)));
        for StayClosed {
            room,
            user,
            joined_seq,
            left_seq,
        } in &batch.closed
        {
            for (stay, left) in &mut self.stays {
                if (stay.room, stay.user, stay.joined_seq) == (*room, *user, *joined_seq) {
                    *left = Some(*left_seq);
                }
            }
        }
        for advance in &batch.lanes {
            let row = self.lanes.get_mut(&advance.lane).unwrap();
            row.applied = advance.applied;
            row.routed = row.routed.max(advance.routed);
        }
    }

    fn room(&self, id: RoomId) -> Option<StoredRoom> {
        let log: Vec<&Event> = self.events.iter().filter(|e| e.room == id).collect();
        let deleted = log.iter().find(|e| e.kind == EventKind::RoomDeleted);
        let open = self
            .stays
            .iter()
            .filter(|(s, left)| s.room == id && left.is_none());
        Some(StoredRoom {
            kind: RoomKind::Group,
            name: "g".into(),
            head: log.last()?.seq,
            deleted: deleted.map(|e| e.seq),
            members: open.map(|(s, _)| (s.user, s.role, s.joined_seq)).collect(),
        })
    }
}

fn bad(event: &Event) -> bool {
    matches!(&event.kind, EventKind::Message { body, .. } if body.contains("bad"))
}

fn key(event: &Event) -> EventKey {
    EventKey {
        room: event.room,
        sender: event.from,
        kind: event.kind.word(),
        id: event.id,
    }
}

impl Tables {
    fn lane_table(&self) -> LaneTable {
        LaneTable {
            members: self.members.clone(),
            lanes: self.lanes.values().cloned().collect(),
        }
    }
}

impl Ledger for Postgres {
    async fn heartbeat(
        &self,
        me: &str,
        lease: Duration,
        held: &[HeldLane],
    ) -> Result<LaneTable, StoreError> {
        let mut tables = self.tables();
        tables.heartbeats += 1;
        for held in held {
            let row = tables.lanes.get_mut(&held.lane).unwrap();
            if row.owner.as_deref() == Some(me) && row.epoch == held.epoch {
                row.ttl_left = lease;
                row.routed = row.routed.max(held.routed.min(row.applied));
            }
        }
        tables.members = vec![Member {
            name: me.to_owned(),
            ttl_left: lease,
        }];
        Ok(tables.lane_table())
    }

    async fn lane_table(&self) -> Result<LaneTable, StoreError> {
        Ok(self.tables().lane_table())
    }

    async fn claim(
        &self,
        me: &str,
        lane: Lane,
        topic_id: &str,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        let mut tables = self.tables();
        if tables.locked_claims > 0 {
            tables.locked_claims -= 1;
            return Ok(None);
        }
        let row = tables.lanes.get_mut(&lane).unwrap();
        if row.owner.as_deref().is_some_and(|owner| owner != me) && !row.ttl_left.is_zero() {
            return Ok(None);
        }
        if row.topic_id.as_deref() != Some(topic_id) {
            row.topic_id = Some(topic_id.to_owned());
            (row.applied, row.routed) = (-1, -1);
        }
        row.owner = Some(me.to_owned());
        row.ttl_left = lease;
        row.epoch += 1;
        let (epoch, applied, routed) = (row.epoch, row.applied, row.routed);
        Ok(Some(Claim {
            epoch,
            applied,
            routed,
        }))
    }

    async fn cut_back(
        &self,
        _: &str,
        lane: Lane,
        epoch: i64,
        last: i64,
    ) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        let row = tables.lanes.get_mut(&lane).unwrap();
        (row.applied, row.routed) = (last, row.routed.min(last));
        Ok(row.epoch == epoch)
    }

    async fn release(
        &self,
        me: &str,
        lane: Lane,
        epoch: i64,
        routed: i64,
    ) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        let row = tables.lanes.get_mut(&lane).unwrap();
        let mine = row.owner.as_deref() == Some(me) && row.epoch == epoch;
        if mine {
            row.owner = None;
            row.ttl_left = Duration::ZERO;
            row.routed = row.routed.max(routed);
        }
        Ok(mine)
    }

    async fn leave(&self, me: &str) -> Result<(), StoreError> {
        let mut tables = self.tables();
        tables.members.retain(|member| member.name != me);
        let mut lanes = tables.lanes.values();
        let has_one = lanes.any(|row| row.owner.as_deref() == Some(me));
        tables.left_with_lanes = has_one;
        Ok(())
    }

    async fn append(&self, batch: &Batch) -> Result<(), AppendError> {
        let mut tables = self.tables();
        tables.appends += 1;
        let fault = tables.faults.pop_front();
        match fault {
            Some(Fault::Unavailable) => {
                return Err(AppendError::Unavailable("played: 53100 disk full".into()));
            }
            Some(Fault::Vanished) => return Err(AppendError::Unknown("played".into())),
            Some(Fault::Stolen(lane)) => {
                let row = tables.lanes.get_mut(&Lane(lane)).unwrap();
                row.owner = Some("thief".into());
                row.ttl_left = Duration::from_secs(3_600);
                row.epoch += 1;
            }
            Some(Fault::AnswerLost) | None => {}
        }
        tables.check(batch)?;
        tables.store(batch);
        match fault {
            Some(Fault::AnswerLost) => Err(AppendError::Unknown("played: answer lost".into())),
            _ => Ok(()),
        }
    }

    async fn load_rooms(
        &self,
        rooms: &[RoomId],
    ) -> Result<HashMap<RoomId, StoredRoom>, StoreError> {
        let mut tables = self.tables();
        if tables.lost_reads > 0 {
            tables.lost_reads -= 1;
            return Err(StoreError::Unavailable {
                reason: "played".to_owned(),
                source: None,
            });
        }
        if tables.corrupt.is_some_and(|room| rooms.contains(&room)) {
            return Err(StoreError::Corrupt("played: unknown word".to_owned()));
        }
        let found = rooms.iter().filter_map(|id| Some((*id, tables.room(*id)?)));
        Ok(found.collect())
    }

    async fn load_messages(
        &self,
        targets: &[(RoomId, Seq)],
    ) -> Result<HashMap<(RoomId, Seq), MessageTarget>, StoreError> {
        let tables = self.tables();
        let found = targets.iter().filter_map(|(room, seq)| {
            let event = tables
                .events
                .iter()
                .find(|e| (e.room, e.seq) == (*room, *seq))?;
            let target = MessageTarget {
                sender: event.from,
                is_message: matches!(event.kind, EventKind::Message { .. }),
                deleted: false,
            };
            Some(((*room, *seq), target))
        });
        Ok(found.collect())
    }

    async fn find_events(
        &self,
        keys: &[EventKey],
        lanes: &[Lane],
    ) -> Result<FoundEvents, StoreError> {
        let tables = self.tables();
        if keys.iter().any(|key| tables.corrupt == Some(key.room)) {
            return Err(StoreError::Corrupt("played: unknown word".to_owned()));
        }
        let found = keys.iter().filter_map(|wanted| {
            let event = tables.events.iter().find(|event| key(event) == *wanted)?;
            let recipients = tables.recipients(event);
            let event = event.clone();
            Some((*wanted, FoundEvent { event, recipients }))
        });
        Ok(FoundEvents {
            found: found.collect(),
            applied: lanes
                .iter()
                .map(|lane| (*lane, tables.lanes[lane].applied))
                .collect(),
        })
    }

    async fn raise_marks(
        &self,
        marks: &[(RoomId, UserId, Seq)],
    ) -> Result<Vec<MarkRaised>, StoreError> {
        let mut tables = self.tables();
        let mut raised = Vec::new();
        for (room, user, upto) in marks.iter().copied() {
            let mark = tables.marks.entry((room, user)).or_default();
            if upto > *mark {
                *mark = upto;
                raised.push(MarkRaised { room, user, upto });
            }
        }
        Ok(raised)
    }
}
