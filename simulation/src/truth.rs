//! What happened, as nobody inside knows it: what was committed first is what must be seen for ever.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use protocol::{Command, Home, MessageId, RoomId, Seq, UserId};
use store::Batch;

use crate::postgres::{Stay, StoredLog};

/// The room, the seq and the id that a frame tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The room.
    pub room: RoomId,
    /// The seq there.
    pub seq: Seq,
    /// The sender's id of it.
    pub id: MessageId,
}

/// An event, for one of its recipients.
pub type Delivery = (UserId, RoomId, Seq);
/// A record: its home, and which it is there.
pub type Place = (Home, usize);

/// All that was ever committed, accepted and told.
#[derive(Debug, Default)]
pub struct Truth {
    /// The logs and stays, each from its first commit on.
    pub rooms: BTreeMap<RoomId, StoredLog>,
    /// Where each id stands in its lane, in order.
    offsets: HashMap<MessageId, Vec<i64>>,
    /// By room, the offset of its last event.
    decided: BTreeMap<RoomId, i64>,
    /// What clients were told that Kafka has.
    pub accepted: BTreeSet<MessageId>,
    /// What was decided not to be taken, for good: whoever is here was told.
    pub refused: BTreeSet<MessageId>,
    /// What was handed on by a home's reader: to which places in homes, or (none) to who pushes.
    pub handed: BTreeMap<Delivery, BTreeSet<Option<Place>>>,
    /// Who was told of which event by a push.
    pub told: BTreeSet<Delivery>,
}

impl Truth {
    /// A record entered its lane.
    pub fn produced(&mut self, command: &Command, offset: i64) {
        self.offsets.entry(command.id).or_default().push(offset);
    }

    /// A batch was committed. I2: each room is 1, 2, 3, …, in the order of its lane, an id once; what was
    /// lost with Postgres's last commits is decided again as it was.
    pub fn committed(&mut self, batch: &Batch) -> Result<(), String> {
        for event in &batch.events {
            let log = self.rooms.entry(event.room).or_default();
            let head = log.head();
            if event.seq <= head {
                let known = log.events.iter().find(|known| known.seq == event.seq);
                if known.map(|known| known.id) != Some(event.id) {
                    return Err(format!(
                        "I2: room {} seq {} is another event than before",
                        event.room, event.seq
                    ));
                }
                continue;
            }
            if event.seq != head.next() {
                return Err(format!(
                    "I2: room {} goes from {head} to {}",
                    event.room, event.seq
                ));
            }
            if let Some(known) = log.events.iter().find(|known| known.id == event.id) {
                return Err(format!(
                    "I2: room {} has {} as {} and as {}",
                    event.room, event.id, known.seq, event.seq
                ));
            }
            let before = self.decided.get(&event.room).copied().unwrap_or(-1);
            let offsets = self.offsets.get(&event.id);
            let offset = offsets
                .into_iter()
                .flatten()
                .find(|offset| **offset > before);
            let Some(offset) = offset else {
                return Err(format!(
                    "I2: room {} seq {} is not in the order of its lane",
                    event.room, event.seq
                ));
            };
            self.decided.insert(event.room, *offset);
            log.events.push(event.clone());
            let opened = batch.opened.iter();
            let opened = opened.filter(|s| (s.room, s.joined_seq) == (event.room, event.seq));
            log.stays.extend(opened.map(|stay| Stay {
                user: stay.user,
                joined: stay.joined_seq,
                left: None,
                role: stay.role,
            }));
            let closed = batch.closed.iter();
            for stay in closed.filter(|s| (s.room, s.left_seq) == (event.room, event.seq)) {
                for open in &mut log.stays {
                    if (open.user, open.joined) == (stay.user, stay.joined_seq) {
                        open.left = Some(stay.left_seq);
                    }
                }
            }
        }
        Ok(())
    }

    /// What a session is handed. I3: it is committed. I12: its user may see it.
    pub fn delivered(&self, user: UserId, seen: Seen) -> Result<(), String> {
        let Seen { room, seq, id } = seen;
        let log = self.rooms.get(&room);
        let event = log.and_then(|log| log.events.iter().find(|event| event.seq == seq));
        if event.map(|event| event.id) != Some(id) {
            return Err(format!(
                "I3: user {user} gets {room}:{seq}, which is not committed"
            ));
        }
        match self.may_see(user, room, seq) {
            true => Ok(()),
            false => Err(format!("I12: user {user} gets {room}:{seq} and may not")),
        }
    }

    /// What reaches a device. I5: the next that its user may see, after `cursor`.
    pub fn arrived(&self, user: UserId, cursor: Option<Seq>, seen: Seen) -> Result<(), String> {
        let Seen { room, seq, .. } = seen;
        let expected = match cursor {
            Some(cursor) => self.next_of(user, room, cursor) == Some(seq),
            None => self.rooms.get(&room).is_some_and(|log| {
                let mut stays = log.stays.iter();
                stays.any(|stay| (stay.user, stay.joined) == (user, seq))
            }),
        };
        match expected {
            true => Ok(()),
            false => Err(format!(
                "I5: user {user} gets {room}:{seq} after {cursor:?}"
            )),
        }
    }

    /// The next seq after `cursor` that `user` may see.
    pub fn next_of(&self, user: UserId, room: RoomId, cursor: Seq) -> Option<Seq> {
        let events = self.rooms.get(&room)?.events.iter();
        let mut later = events.map(|event| event.seq).filter(|seq| *seq > cursor);
        later.find(|seq| self.may_see(user, room, *seq))
    }

    /// Whether `user` may see an event of a room.
    pub fn may_see(&self, user: UserId, room: RoomId, seq: Seq) -> bool {
        let members = self.rooms.get(&room).map(|log| log.members_at(seq));
        members.is_some_and(|members| members.contains(&user))
    }

    /// Whether a push may tell `user` of an event: of others' alone, and of what he may see.
    pub fn concerns(&self, user: UserId, room: RoomId, seq: Seq) -> bool {
        let events = self.rooms.get(&room).map(|log| &log.events);
        let event = events.and_then(|events| events.iter().find(|event| event.seq == seq));
        event.is_some_and(|event| event.from != user) && self.may_see(user, room, seq)
    }

    /// Whether an id is stored.
    pub fn is_stored(&self, id: MessageId) -> bool {
        let mut logs = self.rooms.values();
        logs.any(|log| log.events.iter().any(|event| event.id == id))
    }
}
