//! Decides a batch of records, one after the other (trap 3), on copies of the states. Pure: what had
//! to be read was read before.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use protocol::{
    Command, DeliveryHeaders, DlqReason, Event, Lane, Origin, RejectCode, RoomId, Seq, ServerFrame,
    UserId,
};
use store::{EventKey, FoundEvent, RoleChanged, StayClosed, StayOpened};

use super::burial::burial;
use super::record::{Content, Received, UNSTORABLE, awaits_stored, key_of};
use crate::ports::{Outgoing, Sink};
use crate::room::{Decision, Room, Rules, decide};

/// What was looked up about the batch's commands.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// All that was asked for.
    pub asked: HashSet<EventKey>,
    /// What is stored of it.
    pub events: HashMap<EventKey, FoundEvent>,
}

/// What a batch is decided on.
#[derive(Debug)]
pub struct Basis<'a> {
    /// Copies of the states of all rooms of new commands.
    pub rooms: HashMap<RoomId, Room>,
    /// What was looked up.
    pub found: &'a Found,
    /// By lane, the `applied` of its claim: at and below it everything was decided before.
    pub decided_before: &'a BTreeMap<Lane, i64>,
    /// What an operator set.
    pub rules: Rules,
    /// The name of `chat-send`, for `chat-dlq`.
    pub topic: &'a str,
}

/// One thing to do after the commit, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Deliver the next of the batch's events.
    Stored(Recipients, Option<Outgoing>),
    /// Deliver an event that was stored before.
    Again(Box<Event>, Recipients, Option<Outgoing>),
    /// Answer, or bury.
    Send(Outgoing),
}

/// Who gets an event: the members at its seq, and who leaves by it.
pub type Recipients = Arc<[UserId]>;

/// How the commands of a batch ended (I10).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Became an event.
    pub stored: u64,
    /// Was stored before; answered.
    pub duplicate: u64,
    /// Refused; answered.
    pub rejected: u64,
    /// In `chat-dlq`.
    pub dead_lettered: u64,
    /// Not counted again: decided before, routed and answered again.
    pub redelivered: u64,
}

impl Tally {
    /// How the one record ended that this is more by than `before`, as metrics name it.
    fn since(&self, before: &Self) -> &'static str {
        match self {
            now if now.stored > before.stored => "stored",
            now if now.duplicate > before.duplicate => "duplicate",
            now if now.rejected > before.rejected => "rejected",
            now if now.dead_lettered > before.dead_lettered => "dead_lettered",
            _ => "redelivered",
        }
    }
}

/// A record that is traced.
#[derive(Debug)]
pub struct Traced {
    /// Which one of the batch.
    pub record: usize,
    /// Which steps follow from it.
    pub steps: Range<usize>,
    /// How it ended.
    pub outcome: &'static str,
}

/// What a batch comes to.
#[derive(Debug, Default)]
pub struct Decided {
    /// The last offset of each lane that holds a new decision.
    pub applied: BTreeMap<Lane, i64>,
    /// The events, in order.
    pub events: Vec<Event>,
    /// Stays that begin.
    pub opened: Vec<StayOpened>,
    /// Stays that end.
    pub closed: Vec<StayClosed>,
    /// Roles that change.
    pub roles: Vec<RoleChanged>,
    /// The new states.
    pub rooms: HashMap<RoomId, Room>,
    /// What follows the commit.
    pub steps: Vec<Step>,
    /// What is traced of it.
    pub traced: Vec<Traced>,
    /// How the commands ended.
    pub tally: Tally,
    /// Why records go to `chat-dlq`; those that were buried before not counted again.
    pub buried: Vec<DlqReason>,
    /// Commands that would be rejected though nobody asked the store whether they are known: look
    /// them up and decide again, so that what is stored is never called rejected (trap 1).
    pub unsure: Vec<EventKey>,
}

/// Decides a batch.
pub fn decide_batch(records: &[Received], basis: Basis<'_>) -> Decided {
    let mut decided = Decided {
        rooms: basis.rooms,
        ..Decided::default()
    };
    let Basis {
        found,
        decided_before,
        rules,
        topic,
        ..
    } = basis;
    for (number, record) in records.iter().enumerate() {
        let (step, tally) = (decided.steps.len(), decided.tally);
        let before = decided_before.get(&record.lane).copied();
        let redelivered = before.is_some_and(|applied| record.offset() <= applied);
        if !redelivered {
            decided.applied.insert(record.lane, record.offset());
        }
        match &record.content {
            Content::Poison(reason, command) => {
                decided.bury(record, *reason, topic, redelivered);
                if let Some(command) = command {
                    let (code, message) = UNSTORABLE;
                    decided.reject(command, code, message);
                }
            }
            Content::Buried(command, (code, message)) => {
                match redelivered {
                    true => decided.tally.redelivered += 1,
                    false => decided.tally.dead_lettered += 1,
                }
                decided.reject(command, *code, message);
            }
            Content::Command(command) if redelivered => {
                decided.tally.redelivered += 1;
                decided.again(command, found.events.get(&key_of(command)));
            }
            Content::Command(command) => decided.decide_one(command, found, rules),
        }
        if record.span.is_some() {
            decided.traced.push(Traced {
                record: number,
                steps: step..decided.steps.len(),
                outcome: decided.tally.since(&tally),
            });
        }
    }
    decided
}

impl Decided {
    /// A command that nobody has decided yet.
    fn decide_one(&mut self, command: &Command, found: &Found, rules: Rules) {
        let key = key_of(command);
        let room = self
            .rooms
            .entry(command.room)
            .or_insert_with(|| Room::absent(command.room));
        let decision = match found.events.get(&key) {
            Some(known) => Decision::Duplicate(known.event.seq),
            None => decide(room, command, rules),
        };
        match decision {
            Decision::Store(kind) => {
                let event = Event {
                    room: command.room,
                    seq: room.head.next(),
                    id: command.id,
                    from: command.sender,
                    at: command.at,
                    kind,
                };
                let changes = room.apply(&event);
                self.note_stays(&event, &changes.opened, &changes.closed, &changes.roles);
                let answer = awaits_stored(command).map(|to| stored(to, command, event.seq));
                self.events.push(event);
                self.steps.push(Step::Stored(changes.recipients, answer));
                self.tally.stored += 1;
            }
            Decision::Duplicate(seq) => {
                self.tally.duplicate += 1;
                if let Some(to) = command.origin {
                    self.steps.push(Step::Send(stored(to, command, seq)));
                }
            }
            Decision::Reject(code, message) => {
                if !found.asked.contains(&key) {
                    self.unsure.push(key);
                }
                self.tally.rejected += 1;
                self.reject(command, code, message);
            }
        }
    }

    fn note_stays(
        &mut self,
        event: &Event,
        opened: &[(UserId, protocol::Role)],
        closed: &[crate::room::StayClosed],
        roles: &[(UserId, Seq, protocol::Role)],
    ) {
        let room = event.room;
        self.opened
            .extend(opened.iter().map(|(user, role)| StayOpened {
                room,
                user: *user,
                joined_seq: event.seq,
                role: *role,
            }));
        self.closed.extend(closed.iter().map(|stay| StayClosed {
            room,
            user: stay.user,
            joined_seq: stay.joined,
            left_seq: event.seq,
        }));
        let changed = roles.iter().map(|(user, joined_seq, role)| RoleChanged {
            room,
            user: *user,
            joined_seq: *joined_seq,
            role: *role,
        });
        self.roles.extend(changed);
    }

    /// A command at or below `applied`: never decided again (trap 1), and routed again, because
    /// nobody knows whether it was (trap 4).
    fn again(&mut self, command: &Command, known: Option<&FoundEvent>) {
        let Some(known) = known else {
            // Rejected, or lost with Postgres's last commits: the origin can't be told which, and
            // its resend is decided afresh.
            let message = "it is not known whether this was carried out: resend with the same id";
            return self.reject(command, RejectCode::Unavailable, message);
        };
        let answer = command
            .origin
            .map(|to| stored(to, command, known.event.seq));
        let recipients = known.recipients.as_slice().into();
        let event = Box::new(known.event.clone());
        self.steps.push(Step::Again(event, recipients, answer));
    }

    fn bury(&mut self, record: &Received, reason: DlqReason, topic: &str, redelivered: bool) {
        match redelivered {
            true => self.tally.redelivered += 1,
            false => {
                self.tally.dead_lettered += 1;
                self.buried.push(reason);
            }
        }
        let letter = burial(topic, record.lane, &record.raw, reason);
        self.steps.push(Step::Send(letter));
    }

    fn reject(&mut self, command: &Command, code: RejectCode, message: &str) {
        let Some(to) = command.origin else { return };
        let frame = ServerFrame::Rejected {
            id: command.id,
            code,
            message: message.to_owned(),
            retry_after_ms: None,
        };
        self.steps.push(Step::Send(answer(to, &frame)));
    }
}

fn stored(to: Origin, command: &Command, seq: Seq) -> Outgoing {
    let (id, room) = (command.id, command.room);
    answer(to, &ServerFrame::Stored { id, room, seq })
}

fn answer(to: Origin, frame: &ServerFrame) -> Outgoing {
    Outgoing {
        sink: Sink::Home(to.home),
        key: None,
        headers: DeliveryHeaders::answer(to.session).encode(),
        payload: Some(frame.encode()),
        trace: None,
    }
}
