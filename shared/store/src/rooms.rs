//! What the classifier loads: states to decide on, stored events to route again, read marks.

use std::collections::HashMap;

use protocol::{Event, Lane, MessageId, Role, RoomId, RoomKind, Seq, UserId};
use tokio_postgres::Row;

use crate::row::{event_of, get, id, maybe_id, number, parse_word, word};
use crate::statement::Statement;
use crate::{Store, StoreError};

/// A room as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRoom {
    /// Direct or group.
    pub kind: RoomKind,
    /// Its name; empty for a direct room.
    pub name: String,
    /// The highest stored seq.
    pub head: Seq,
    /// The seq of its deletion.
    pub deleted: Option<Seq>,
    /// Today's members: user, role, the seq that they joined at.
    pub members: Vec<(UserId, Role, Seq)>,
}

/// What an edit or deletion has to know about its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageTarget {
    /// Who said it.
    pub sender: UserId,
    /// Whether it is a message at all, not another event.
    pub is_message: bool,
    /// Whether it is a tombstone by now.
    pub deleted: bool,
}

/// What names a command and the event that it led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventKey {
    /// The room.
    pub room: RoomId,
    /// Who sent the command.
    pub sender: UserId,
    /// The event's word, as `CommandKind::event_kind` and `EventKind::word` say.
    pub kind: &'static str,
    /// The sender's id of it.
    pub id: MessageId,
}

/// A stored event and who gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundEvent {
    /// As it was first said: the edit goes to the members at *its* seq (I12). Of a message deleted
    /// since, the tombstone.
    pub event: Event,
    /// The members *at that seq* (traps 1, 3), whoever was removed by it included.
    pub recipients: Vec<UserId>,
}

/// Answer of [`Store::find_events`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FoundEvents {
    /// Those that are stored.
    pub found: HashMap<EventKey, FoundEvent>,
    /// `applied` of the lanes asked for, in the same snapshot.
    pub applied: HashMap<Lane, i64>,
}

/// A read mark that rose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkRaised {
    /// Where.
    pub room: RoomId,
    /// Whose.
    pub user: UserId,
    /// Up to which seq they have read now; never above the head.
    pub upto: Seq,
}

pub(crate) const LOAD_ROOMS: Statement = Statement::new(
    "load_rooms",
    "select r.room_id, r.kind, r.name, r.head, r.deleted, s.users, s.roles, s.joined
     from room r
     left join lateral (
         select array_agg(user_id) as users, array_agg(role) as roles, array_agg(joined_seq) as joined
         from membership s
         where s.room_id = r.room_id and s.left_seq is null
     ) s on true
     where r.room_id = any ($1)",
);

/// `limit 1` on unique keys, here and below: one index look-up per key, whatever the planner
/// believes about the sizes of arrays.
pub(crate) const LOAD_MESSAGES: Statement = Statement::new(
    "load_messages",
    "select u.room_id, u.seq, m.sender_id, m.kind, m.deleted
     from unnest($1::bigint[], $2::bigint[]) as u (room_id, seq)
     cross join lateral (
         select sender_id, kind, content ? 'deleted' as deleted
         from message m
         where m.room_id = u.room_id and m.seq = u.seq
         limit 1
     ) m",
);

/// One statement, so one snapshot: an event that is not found and an `applied` that covers its
/// record can't both be true of different moments.
pub(crate) const FIND_EVENTS: Statement = Statement::new(
    "find_events",
    "select k.n, null::int as lane, null::bigint as applied, m.seq, m.at_ms, m.content, s.users
     from unnest($1::bigint[], $2::bigint[], $3::text[], $4::uuid[])
         with ordinality as k (room_id, sender_id, kind, client_id, n)
     cross join lateral (
         select seq, at_ms, coalesce(first, content) as content
         from message m
         where m.room_id = k.room_id and m.sender_id = k.sender_id
           and m.kind = k.kind and m.client_id = k.client_id
         limit 1
     ) m
     cross join lateral (
         select array_agg(user_id order by user_id) as users
         from membership s
         where s.room_id = k.room_id and s.joined_seq <= m.seq
           and (s.left_seq is null or s.left_seq >= m.seq)
     ) s
     union all
     select null, lane, applied, null, null, null, null
     from lane
     where lane = any ($5)",
);

/// In key order: two classifiers that raise the same marks can't wait for each other in a circle.
pub(crate) const RAISE_MARKS: Statement = Statement::new(
    "raise_marks",
    "insert into read_mark (room_id, user_id, upto)
     select u.room_id, u.user_id, least(max(u.upto), r.head)
     from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as u (room_id, user_id, upto)
     join room r on r.room_id = u.room_id
     join membership s
         on s.room_id = u.room_id and s.user_id = u.user_id and s.left_seq is null
     group by u.room_id, u.user_id, r.head
     order by u.room_id, u.user_id
     on conflict (room_id, user_id) do update set upto = excluded.upto
         where read_mark.upto < excluded.upto
     returning room_id, user_id, upto",
);

impl Store {
    /// Loads rooms; those that do not exist are absent from the answer.
    pub async fn load_rooms(
        &self,
        rooms: &[RoomId],
    ) -> Result<HashMap<RoomId, StoredRoom>, StoreError> {
        let ids: Vec<i64> = rooms.iter().map(|room| room.get()).collect();
        let rows = self.run(&LOAD_ROOMS, &[&ids]).await?;
        rows.iter()
            .map(|row| Ok((id(row, "room_id")?, stored_room(row)?)))
            .collect()
    }

    /// Loads what edits and deletions are about; seqs that do not exist are absent.
    pub async fn load_messages(
        &self,
        targets: &[(RoomId, Seq)],
    ) -> Result<HashMap<(RoomId, Seq), MessageTarget>, StoreError> {
        let rooms: Vec<i64> = targets.iter().map(|(room, _)| room.get()).collect();
        let seqs: Vec<i64> = targets.iter().map(|(_, seq)| seq.get()).collect();
        let rows = self.run(&LOAD_MESSAGES, &[&rooms, &seqs]).await?;
        rows.iter()
            .map(|row| {
                let target = MessageTarget {
                    sender: id(row, "sender_id")?,
                    is_message: get::<&str>(row, "kind")? == "message",
                    deleted: get(row, "deleted")?,
                };
                Ok(((id(row, "room_id")?, id(row, "seq")?), target))
            })
            .collect()
    }

    /// Finds stored events by the ids of their commands, and `applied` of `lanes`, in one snapshot.
    pub async fn find_events(
        &self,
        keys: &[EventKey],
        lanes: &[Lane],
    ) -> Result<FoundEvents, StoreError> {
        let rooms: Vec<i64> = keys.iter().map(|key| key.room.get()).collect();
        let senders: Vec<i64> = keys.iter().map(|key| key.sender.get()).collect();
        let kinds: Vec<&str> = keys.iter().map(|key| key.kind).collect();
        let ids: Vec<MessageId> = keys.iter().map(|key| key.id).collect();
        let lanes: Vec<i32> = lanes.iter().map(|lane| lane.0).collect();
        let rows = self
            .run(&FIND_EVENTS, &[&rooms, &senders, &kinds, &ids, &lanes])
            .await?;
        let mut answer = FoundEvents::default();
        for row in &rows {
            if let Some(lane) = get::<Option<i32>>(row, "lane")? {
                answer.applied.insert(Lane(lane), get(row, "applied")?);
                continue;
            }
            let n: i64 = get(row, "n")?; // counted from 1
            let Some(key) = usize::try_from(n - 1).ok().and_then(|n| keys.get(n)) else {
                return Err(StoreError::Corrupt(format!("answer to key {n}")));
            };
            answer.found.insert(*key, found_event(key, row)?);
        }
        Ok(answer)
    }

    /// Raises read marks (room, user, up to), clamped to the head; highest wins. Answers those that
    /// rose: marks of non-members, and those that were as high before, are left out.
    pub async fn raise_marks(
        &self,
        marks: &[(RoomId, UserId, Seq)],
    ) -> Result<Vec<MarkRaised>, StoreError> {
        let rooms: Vec<i64> = marks.iter().map(|(room, ..)| room.get()).collect();
        let users: Vec<i64> = marks.iter().map(|(_, user, _)| user.get()).collect();
        let uptos: Vec<i64> = marks.iter().map(|(.., upto)| upto.get()).collect();
        let rows = self.run(&RAISE_MARKS, &[&rooms, &users, &uptos]).await?;
        rows.iter()
            .map(|row| {
                Ok(MarkRaised {
                    room: id(row, "room_id")?,
                    user: id(row, "user_id")?,
                    upto: id(row, "upto")?,
                })
            })
            .collect()
    }
}

fn stored_room(row: &Row) -> Result<StoredRoom, StoreError> {
    // Null when nobody is in it.
    let users: Vec<i64> = get::<Option<_>>(row, "users")?.unwrap_or_default();
    let roles: Vec<&str> = get::<Option<_>>(row, "roles")?.unwrap_or_default();
    let joined: Vec<i64> = get::<Option<_>>(row, "joined")?.unwrap_or_default();
    let members = users
        .into_iter()
        .zip(roles)
        .zip(joined)
        .map(|((user, role), seq)| Ok((number(user)?, parse_word(role)?, number(seq)?)))
        .collect::<Result<_, StoreError>>()?;
    Ok(StoredRoom {
        kind: word(row, "kind")?,
        name: get(row, "name")?,
        head: id(row, "head")?,
        deleted: maybe_id(row, "deleted")?,
        members,
    })
}

fn found_event(key: &EventKey, row: &Row) -> Result<FoundEvent, StoreError> {
    let users: Vec<i64> = get::<Option<_>>(row, "users")?.unwrap_or_default();
    Ok(FoundEvent {
        event: event_of(
            key.room,
            get(row, "seq")?,
            key.sender.get(),
            key.id,
            key.kind,
            get(row, "at_ms")?,
            get(row, "content")?,
        )?,
        recipients: users.into_iter().map(number).collect::<Result<_, _>>()?,
    })
}
