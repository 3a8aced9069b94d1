//! Reads what a batch is decided on: states that are not remembered, targets of edits, and which
//! commands are known.

use std::collections::{BTreeMap, HashMap, HashSet};

use protocol::{CommandKind, Lane, RoomId, Seq};
use store::{EventKey, StoreError, StoredRoom};

use super::decide::Found;
use super::record::{Content, Received, key_of};
use super::rooms::Rooms;
use crate::ports::Ledger;
use crate::room::{Existence, Member, Members, Room, Target};

/// What a lane is at when a batch is read.
pub struct LaneState<'a> {
    /// The last committed offset.
    pub applied: i64,
    /// The `applied` of its claim.
    pub decided_before: i64,
    /// Its states.
    pub rooms: &'a Rooms,
}

/// Which commands the store is asked about beside retries and redelivered ones.
#[derive(Debug, Clone, Default)]
pub enum Ask {
    /// No others.
    #[default]
    Needed,
    /// These: they would be rejected.
    Also(HashSet<EventKey>),
    /// Every one: an id of the batch is stored, and it is not known which.
    All,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Fetched {
    /// Copies of the states of all rooms of new commands.
    pub rooms: HashMap<RoomId, Room>,
    /// Which commands are known.
    pub found: Found,
    /// Lanes whose `applied` is not what it should be: somebody else has written.
    pub stale: Vec<Lane>,
}

/// Reads what `records` need.
pub async fn fetch<L: Ledger>(
    ledger: &L,
    records: &[Received],
    lanes: &BTreeMap<Lane, LaneState<'_>>,
    ask: &Ask,
) -> Result<Fetched, StoreError> {
    let mut fetched = Fetched::default();
    let mut missing: HashSet<RoomId> = HashSet::new();
    for (record, lane) in new_commands(records, lanes) {
        let Some(command) = record.command() else {
            continue;
        };
        if fetched.rooms.contains_key(&command.room) {
            continue;
        }
        match lane.rooms.get(command.room) {
            Some(room) => {
                fetched.rooms.insert(command.room, room.clone());
            }
            None => {
                missing.insert(command.room);
            }
        }
    }
    if !missing.is_empty() {
        let ids: Vec<RoomId> = missing.into_iter().collect();
        let mut stored = ledger.load_rooms(&ids).await?;
        for id in ids {
            let room = match stored.remove(&id) {
                Some(room) => revived(id, &room),
                None => Room::absent(id),
            };
            fetched.rooms.insert(id, room);
        }
    }
    fetch_targets(ledger, records, lanes, &mut fetched.rooms).await?;
    fetch_known(ledger, records, lanes, ask, &mut fetched).await?;
    Ok(fetched)
}

fn new_commands<'a>(
    records: &'a [Received],
    lanes: &'a BTreeMap<Lane, LaneState<'a>>,
) -> impl Iterator<Item = (&'a Received, &'a LaneState<'a>)> {
    records.iter().filter_map(|record| {
        let lane = lanes.get(&record.lane)?;
        (record.offset() > lane.decided_before).then_some((record, lane))
    })
}

async fn fetch_targets<L: Ledger>(
    ledger: &L,
    records: &[Received],
    lanes: &BTreeMap<Lane, LaneState<'_>>,
    rooms: &mut HashMap<RoomId, Room>,
) -> Result<(), StoreError> {
    let mut unknown: HashSet<(RoomId, Seq)> = HashSet::new();
    for (record, _) in new_commands(records, lanes) {
        let Some(command) = record.command() else {
            continue;
        };
        let (CommandKind::Edit { seq, .. } | CommandKind::Delete { seq }) = command.kind else {
            continue;
        };
        if rooms
            .get(&command.room)
            .is_some_and(|room| !room.knows_target(seq))
        {
            unknown.insert((command.room, seq));
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let unknown: Vec<(RoomId, Seq)> = unknown.into_iter().collect();
    for ((room, seq), target) in ledger.load_messages(&unknown).await? {
        if let (Some(room), true) = (rooms.get_mut(&room), target.is_message) {
            let (sender, deleted) = (target.sender, target.deleted);
            room.learn_target(seq, Target { sender, deleted });
        }
    }
    Ok(())
}

async fn fetch_known<L: Ledger>(
    ledger: &L,
    records: &[Received],
    lanes: &BTreeMap<Lane, LaneState<'_>>,
    ask: &Ask,
    fetched: &mut Fetched,
) -> Result<(), StoreError> {
    let mut asked: HashSet<EventKey> = HashSet::new();
    for record in records {
        let (Some(lane), Content::Command(command)) = (lanes.get(&record.lane), &record.content)
        else {
            continue;
        };
        let key = key_of(command);
        let remembered = || {
            let room = fetched.rooms.get(&command.room);
            room.is_some_and(|room| room.seq_of(command).is_some())
        };
        let wanted = record.offset() <= lane.decided_before
            || match ask {
                Ask::All => true,
                Ask::Also(keys) if keys.contains(&key) => true,
                Ask::Also(_) | Ask::Needed => command.retry && !remembered(),
            };
        if wanted {
            asked.insert(key);
        }
    }
    if asked.is_empty() {
        return Ok(());
    }
    let keys: Vec<EventKey> = asked.iter().copied().collect();
    let numbers: Vec<Lane> = lanes.keys().copied().collect();
    let answer = ledger.find_events(&keys, &numbers).await?;
    fetched.stale = lanes
        .iter()
        .filter(|(lane, state)| {
            let now = answer.applied.get(lane);
            now.is_some_and(|now| *now != state.applied)
        })
        .map(|(lane, _)| *lane)
        .collect();
    fetched.found = Found {
        asked,
        events: answer.found,
    };
    Ok(())
}

fn revived(id: RoomId, room: &StoredRoom) -> Room {
    let existence = match room.deleted {
        Some(_) => Existence::Deleted,
        None => Existence::Open(room.kind),
    };
    let members = room.members.iter().map(|(user, role, joined)| {
        let (role, joined) = (*role, *joined);
        (*user, Member { role, joined })
    });
    Room::loaded(id, existence, room.head, Members::new(members))
}
