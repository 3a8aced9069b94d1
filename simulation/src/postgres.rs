//! Postgres as plain data: what `shared/store`'s SQL does, each call at one moment.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use classifier::ports::Ledger;
use protocol::{Event, EventKind, Lane, MessageId, Role, RoomId, RoomKind, Seq, UserId};
use store::{
    AppendError, Batch, Claim, EventKey, FoundEvent, FoundEvents, HeldLane, LaneRow, LaneTable,
    MarkRaised, Member, MessageTarget, StoreError, StoredRoom,
};

/// One stay of a member.
#[derive(Debug, Clone, Copy)]
pub struct Stay {
    /// Whose.
    pub user: UserId,
    /// The first seq that they may see.
    pub joined: Seq,
    /// The last one; none while they stay.
    pub left: Option<Seq>,
    /// As what.
    pub role: Role,
}

/// A room and its log: the event of seq n is the n-th.
#[derive(Debug, Clone, Default)]
pub struct StoredLog {
    /// Events by seq.
    pub events: Vec<Event>,
    /// All stays there ever were.
    pub stays: Vec<Stay>,
}

#[derive(Debug, Clone)]
struct LaneState {
    owner: Option<String>,
    until: u64,
    epoch: i64,
    applied: i64,
    routed: i64,
    topic: Option<String>,
}

/// All tables.
#[derive(Debug, Clone)]
pub struct Tables {
    /// The server's clock, in ms.
    pub now: u64,
    /// Every room that was created.
    pub rooms: BTreeMap<RoomId, StoredLog>,
    /// Whether the fence compares `applied`; only a mutation switches it off.
    pub checks_applied: bool,
    lanes: BTreeMap<Lane, LaneState>,
    members: BTreeMap<String, u64>,
    keys: HashMap<EventKey, (RoomId, usize)>,
}

/// The server; clones are connections to it.
#[derive(Debug, Clone)]
pub struct Postgres(Arc<Mutex<Tables>>);

impl StoredLog {
    /// The highest seq.
    pub fn head(&self) -> Seq {
        self.events.last().map_or(Seq::ZERO, |event| event.seq)
    }

    /// Who was in at that seq, and who left by it.
    pub fn members_at(&self, seq: Seq) -> Vec<UserId> {
        let stays = self.stays.iter();
        let there = stays.filter(|s| s.joined <= seq && s.left.is_none_or(|left| left >= seq));
        there.map(|stay| stay.user).collect()
    }
}

fn key(event: &Event) -> EventKey {
    EventKey {
        room: event.room,
        sender: event.from,
        kind: event.kind.word(),
        id: event.id,
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Tables {
    /// Who is alive and who owns which lane, as the table says now.
    fn lane_table(&self) -> LaneTable {
        let left = |until: u64| Duration::from_millis(until.saturating_sub(self.now));
        let members = self.members.iter().map(|(name, until)| Member {
            name: name.clone(),
            ttl_left: left(*until),
        });
        let lanes = self.lanes.iter().map(|(lane, row)| LaneRow {
            lane: *lane,
            topic_id: row.topic.clone(),
            owner: row.owner.clone(),
            ttl_left: left(row.until),
            epoch: row.epoch,
            applied: row.applied,
            routed: row.routed,
        });
        LaneTable {
            members: members.collect(),
            lanes: lanes.collect(),
        }
    }

    fn new(lanes: i32) -> Self {
        let row = LaneState {
            owner: None,
            until: 0,
            epoch: 0,
            applied: -1,
            routed: -1,
            topic: None,
        };
        Self {
            now: 0,
            rooms: BTreeMap::new(),
            checks_applied: true,
            lanes: (0..lanes).map(|lane| (Lane(lane), row.clone())).collect(),
            members: BTreeMap::new(),
            keys: HashMap::new(),
        }
    }

    /// Whether an event of this id is stored.
    pub fn is_stored(&self, id: MessageId) -> bool {
        self.keys.keys().any(|key| key.id == id)
    }

    /// Who owns each lane, and under which epoch, for as long as the lease runs.
    pub fn owners(&self) -> Vec<Option<(String, i64)>> {
        let rows = self.lanes.values();
        rows.map(|row| {
            let owner = row.owner.clone().filter(|_| row.until > self.now)?;
            Some((owner, row.epoch))
        })
        .collect()
    }

    /// `append_batch` of V2__append.sql: the fence, then everything or nothing.
    pub fn append(&mut self, batch: &Batch) -> Result<(), AppendError> {
        let fenced: Vec<Lane> = batch
            .lanes
            .iter()
            .filter(|advance| {
                self.lanes.get(&advance.lane).is_none_or(|row| {
                    row.owner.as_ref() != Some(&batch.owner)
                        || row.epoch != advance.epoch
                        || self.checks_applied && row.applied != advance.expected_applied
                })
            })
            .map(|advance| advance.lane)
            .collect();
        if !fenced.is_empty() {
            return Err(AppendError::Fenced(fenced));
        }
        let mut heads: BTreeMap<RoomId, Seq> = BTreeMap::new();
        for event in &batch.events {
            let head = self
                .rooms
                .get(&event.room)
                .map_or(Seq::ZERO, StoredLog::head);
            let head = heads.entry(event.room).or_insert(head);
            if self.keys.contains_key(&key(event)) {
                return Err(AppendError::IdTaken);
            }
            if event.seq != head.next() {
                let told = format!("room {} is at {head:?}", event.room);
                return Err(AppendError::SeqTaken(told));
            }
            *head = event.seq;
        }
        for event in &batch.events {
            let log = self.rooms.entry(event.room).or_default();
            self.keys.insert(key(event), (event.room, log.events.len()));
            log.events.push(event.clone());
        }
        for stay in &batch.opened {
            self.rooms.entry(stay.room).or_default().stays.push(Stay {
                user: stay.user,
                joined: stay.joined_seq,
                left: None,
                role: stay.role,
            });
        }
        for closed in &batch.closed {
            let log = self.rooms.entry(closed.room).or_default();
            for stay in &mut log.stays {
                if (stay.user, stay.joined) == (closed.user, closed.joined_seq) {
                    stay.left = Some(closed.left_seq);
                }
            }
        }
        for changed in &batch.roles {
            let log = self.rooms.entry(changed.room).or_default();
            for stay in &mut log.stays {
                if (stay.user, stay.joined) == (changed.user, changed.joined_seq) {
                    stay.role = changed.role;
                }
            }
        }
        for advance in &batch.lanes {
            if let Some(row) = self.lanes.get_mut(&advance.lane) {
                row.applied = advance.applied;
                row.routed = row.routed.max(advance.routed.min(advance.applied));
                row.until = self.now + ms(batch.lease);
            }
        }
        Ok(())
    }
}

impl Postgres {
    /// Empty, with so many lanes.
    pub fn new(lanes: i32) -> Self {
        Self(Arc::new(Mutex::new(Tables::new(lanes))))
    }

    /// The tables, for as long as the guard is kept.
    pub fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger for Postgres {
    async fn heartbeat(
        &self,
        me: &str,
        lease: Duration,
        held: &[HeldLane],
    ) -> Result<LaneTable, StoreError> {
        let tables = &mut *self.tables();
        let until = tables.now + ms(lease);
        tables.members.insert(me.to_owned(), until);
        for held in held {
            if let Some(row) = tables.lanes.get_mut(&held.lane)
                && row.owner.as_deref() == Some(me)
                && row.epoch == held.epoch
            {
                row.until = until;
                row.routed = row.routed.max(held.routed.min(row.applied));
            }
        }
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
        let tables = &mut *self.tables();
        let now = tables.now;
        let free = |row: &LaneState| {
            row.owner.as_deref().is_none_or(|owner| owner == me) || row.until <= now
        };
        let Some(row) = tables.lanes.get_mut(&lane).filter(|row| free(row)) else {
            return Ok(None);
        };
        if row.topic.as_deref() != Some(topic_id) {
            row.topic = Some(topic_id.to_owned());
            (row.applied, row.routed) = (-1, -1);
        }
        row.owner = Some(me.to_owned());
        row.until = now + ms(lease);
        row.epoch = row.epoch.max(i64::try_from(now).unwrap_or(i64::MAX - 1)) + 1;
        Ok(Some(Claim {
            epoch: row.epoch,
            applied: row.applied,
            routed: row.routed,
        }))
    }

    async fn cut_back(&self, _: &str, _: Lane, _: i64, _: i64) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn release(
        &self,
        me: &str,
        lane: Lane,
        epoch: i64,
        routed: i64,
    ) -> Result<bool, StoreError> {
        let tables = &mut *self.tables();
        let Some(row) = tables.lanes.get_mut(&lane) else {
            return Ok(false);
        };
        let mine = row.owner.as_deref() == Some(me) && row.epoch == epoch;
        if mine {
            row.owner = None;
            row.until = tables.now;
            row.routed = row.routed.max(routed.min(row.applied));
        }
        Ok(mine)
    }

    async fn leave(&self, me: &str) -> Result<(), StoreError> {
        self.tables().members.remove(me);
        Ok(())
    }

    async fn append(&self, batch: &Batch) -> Result<(), AppendError> {
        self.tables().append(batch)
    }

    async fn load_rooms(
        &self,
        rooms: &[RoomId],
    ) -> Result<HashMap<RoomId, StoredRoom>, StoreError> {
        let tables = self.tables();
        let found = rooms.iter().filter_map(|id| {
            let log = tables.rooms.get(id)?;
            let open = log.stays.iter().filter(|stay| stay.left.is_none());
            let deleted = log.events.iter().find(|e| e.kind == EventKind::RoomDeleted);
            let room = StoredRoom {
                kind: RoomKind::Group,
                name: String::new(),
                head: log.head(),
                deleted: deleted.map(|event| event.seq),
                members: open.map(|s| (s.user, s.role, s.joined)).collect(),
            };
            Some((*id, room))
        });
        Ok(found.collect())
    }

    async fn load_messages(
        &self,
        _: &[(RoomId, Seq)],
    ) -> Result<HashMap<(RoomId, Seq), MessageTarget>, StoreError> {
        // Nobody edits here.
        Ok(HashMap::new())
    }

    async fn find_events(
        &self,
        keys: &[EventKey],
        lanes: &[Lane],
    ) -> Result<FoundEvents, StoreError> {
        let tables = self.tables();
        let found = keys.iter().filter_map(|key| {
            let (room, at) = tables.keys.get(key)?;
            let log = tables.rooms.get(room)?;
            let event = log.events.get(*at)?.clone();
            let recipients = log.members_at(event.seq);
            Some((*key, FoundEvent { event, recipients }))
        });
        let applied = lanes.iter().filter_map(|lane| {
            let row = tables.lanes.get(lane)?;
            Some((*lane, row.applied))
        });
        Ok(FoundEvents {
            found: found.collect(),
            applied: applied.collect(),
        })
    }

    async fn raise_marks(
        &self,
        _: &[(RoomId, UserId, Seq)],
    ) -> Result<Vec<MarkRaised>, StoreError> {
        Ok(Vec::new())
    }
}
