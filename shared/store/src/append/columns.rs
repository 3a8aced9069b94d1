//! A batch as the arrays that `append_batch` takes.
//!
//! Room rows, edits and deletions are derived from the events here, so that they can't disagree
//! with them. Where several events of a batch touch the same row, the last one is what is written:
//! the function's statements work on sets and know no order.

use std::collections::HashMap;

use protocol::{EventKind, MessageId, RoomId, Seq};
use serde_json::Value;
use tokio_postgres::types::ToSql;

use super::{AppendError, Batch};
use crate::row::millis;

/// The parameters, in the function's order.
#[derive(Default)]
pub(super) struct Columns<'a> {
    owner: &'a str,
    lease_ms: i64,
    lanes: Vec<i32>,
    epochs: Vec<i64>,
    expected: Vec<i64>,
    applied: Vec<i64>,
    routed: Vec<i64>,
    rooms: Vec<i64>,
    seqs: Vec<i64>,
    senders: Vec<i64>,
    ids: Vec<MessageId>,
    kinds: Vec<&'static str>,
    ats: Vec<i64>,
    contents: Vec<Value>,
    head_rooms: Vec<i64>,
    head_before: Vec<i64>,
    head_after: Vec<i64>,
    new_rooms: Vec<i64>,
    new_kinds: Vec<&'static str>,
    new_names: Vec<&'a str>,
    new_heads: Vec<i64>,
    renamed_rooms: Vec<i64>,
    renamed_names: Vec<&'a str>,
    gone_rooms: Vec<i64>,
    gone_seqs: Vec<i64>,
    opened_rooms: Vec<i64>,
    opened_users: Vec<i64>,
    opened_seqs: Vec<i64>,
    opened_roles: Vec<&'static str>,
    closed_rooms: Vec<i64>,
    closed_users: Vec<i64>,
    closed_joined: Vec<i64>,
    closed_left: Vec<i64>,
    role_rooms: Vec<i64>,
    role_users: Vec<i64>,
    role_joined: Vec<i64>,
    role_roles: Vec<&'static str>,
    edited_rooms: Vec<i64>,
    edited_targets: Vec<i64>,
    edited_seqs: Vec<i64>,
    edited_bodies: Vec<&'a str>,
    deleted_rooms: Vec<i64>,
    deleted_targets: Vec<i64>,
    deleted_seqs: Vec<i64>,
}

/// What a batch does to one room's row.
struct RoomTouched<'a> {
    first: Seq,
    last: Seq,
    created: Option<(&'static str, &'a str)>,
    renamed: Option<&'a str>,
    deleted: Option<Seq>,
}

/// What a batch does to one message's row; a deletion wins over edits.
enum MessageTouched<'a> {
    Edited(Seq, &'a str),
    Deleted(Seq),
}

impl<'a> Columns<'a> {
    pub(super) fn of(batch: &'a Batch) -> Result<Self, AppendError> {
        let mut columns = Self {
            owner: &batch.owner,
            lease_ms: millis(batch.lease),
            ..Self::default()
        };
        for lane in &batch.lanes {
            columns.lanes.push(lane.lane.0);
            columns.epochs.push(lane.epoch);
            columns.expected.push(lane.expected_applied);
            columns.applied.push(lane.applied);
            columns.routed.push(lane.routed);
        }
        columns.events(batch)?;
        columns.stays(batch);
        Ok(columns)
    }

    fn events(&mut self, batch: &'a Batch) -> Result<(), AppendError> {
        let mut rooms: HashMap<RoomId, RoomTouched<'a>> = HashMap::new();
        let mut messages: HashMap<(RoomId, Seq), MessageTouched<'a>> = HashMap::new();
        for event in &batch.events {
            self.rooms.push(event.room.get());
            self.seqs.push(event.seq.get());
            self.senders.push(event.from.get());
            self.ids.push(event.id);
            self.kinds.push(event.kind.word());
            self.ats.push(event.at);
            self.contents.push(event.kind.content());

            let room = rooms.entry(event.room).or_insert(RoomTouched {
                first: event.seq,
                last: event.seq.previous(),
                created: None,
                renamed: None,
                deleted: None,
            });
            // The head is checked against the first and set to the last: between them no gap may be,
            // and before the creation there is nothing.
            let created = matches!(event.kind, EventKind::Created { .. });
            if event.seq != room.last.next() || created && event.seq != Seq::ZERO.next() {
                return Err(AppendError::SeqTaken(format!(
                    "room {}: {} follows {}",
                    event.room, event.seq, room.last
                )));
            }
            room.last = event.seq;
            match &event.kind {
                EventKind::Created {
                    room_kind, name, ..
                } => room.created = Some((room_kind.as_str(), name)),
                EventKind::Renamed { name } => room.renamed = Some(name),
                EventKind::RoomDeleted => room.deleted = Some(event.seq),
                EventKind::Edited { target, body } => {
                    let touched = messages
                        .entry((event.room, *target))
                        .or_insert(MessageTouched::Edited(event.seq, body));
                    if let MessageTouched::Edited(seq, latest) = touched {
                        (*seq, *latest) = (event.seq, body);
                    }
                }
                EventKind::Deleted { target } => {
                    messages.insert((event.room, *target), MessageTouched::Deleted(event.seq));
                }
                EventKind::Message { .. }
                | EventKind::MemberAdded { .. }
                | EventKind::MemberRemoved { .. }
                | EventKind::RoleChanged { .. } => {}
            }
        }
        self.room_rows(rooms);
        self.message_rows(messages);
        Ok(())
    }

    fn room_rows(&mut self, rooms: HashMap<RoomId, RoomTouched<'a>>) {
        for (id, room) in rooms {
            let id = id.get();
            if let Some((kind, name)) = room.created {
                self.new_rooms.push(id);
                self.new_kinds.push(kind);
                self.new_names.push(name);
                self.new_heads.push(room.last.get());
            } else {
                self.head_rooms.push(id);
                self.head_before.push(room.first.previous().get());
                self.head_after.push(room.last.get());
            }
            if let Some(name) = room.renamed {
                self.renamed_rooms.push(id);
                self.renamed_names.push(name);
            }
            if let Some(seq) = room.deleted {
                self.gone_rooms.push(id);
                self.gone_seqs.push(seq.get());
            }
        }
    }

    fn message_rows(&mut self, messages: HashMap<(RoomId, Seq), MessageTouched<'a>>) {
        for ((room, target), touched) in messages {
            match touched {
                MessageTouched::Edited(seq, body) => {
                    self.edited_rooms.push(room.get());
                    self.edited_targets.push(target.get());
                    self.edited_seqs.push(seq.get());
                    self.edited_bodies.push(body);
                }
                MessageTouched::Deleted(seq) => {
                    self.deleted_rooms.push(room.get());
                    self.deleted_targets.push(target.get());
                    self.deleted_seqs.push(seq.get());
                }
            }
        }
    }

    fn stays(&mut self, batch: &Batch) {
        for stay in &batch.opened {
            self.opened_rooms.push(stay.room.get());
            self.opened_users.push(stay.user.get());
            self.opened_seqs.push(stay.joined_seq.get());
            self.opened_roles.push(stay.role.as_str());
        }
        for stay in &batch.closed {
            self.closed_rooms.push(stay.room.get());
            self.closed_users.push(stay.user.get());
            self.closed_joined.push(stay.joined_seq.get());
            self.closed_left.push(stay.left_seq.get());
        }
        let last: HashMap<_, _> = batch
            .roles
            .iter()
            .map(|change| ((change.room, change.user, change.joined_seq), change.role))
            .collect();
        for ((room, user, joined_seq), role) in last {
            self.role_rooms.push(room.get());
            self.role_users.push(user.get());
            self.role_joined.push(joined_seq.get());
            self.role_roles.push(role.as_str());
        }
    }

    pub(super) fn params(&self) -> [&(dyn ToSql + Sync); 44] {
        [
            &self.owner,
            &self.lease_ms,
            &self.lanes,
            &self.epochs,
            &self.expected,
            &self.applied,
            &self.routed,
            &self.rooms,
            &self.seqs,
            &self.senders,
            &self.ids,
            &self.kinds,
            &self.ats,
            &self.contents,
            &self.head_rooms,
            &self.head_before,
            &self.head_after,
            &self.new_rooms,
            &self.new_kinds,
            &self.new_names,
            &self.new_heads,
            &self.renamed_rooms,
            &self.renamed_names,
            &self.gone_rooms,
            &self.gone_seqs,
            &self.opened_rooms,
            &self.opened_users,
            &self.opened_seqs,
            &self.opened_roles,
            &self.closed_rooms,
            &self.closed_users,
            &self.closed_joined,
            &self.closed_left,
            &self.role_rooms,
            &self.role_users,
            &self.role_joined,
            &self.role_roles,
            &self.edited_rooms,
            &self.edited_targets,
            &self.edited_seqs,
            &self.edited_bodies,
            &self.deleted_rooms,
            &self.deleted_targets,
            &self.deleted_seqs,
        ]
    }
}
