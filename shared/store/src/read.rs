//! What the REST API shows: rooms, members, history, users.

use std::collections::HashMap;

use protocol::{Event, MessageId, Role, RoomId, RoomKind, Seq, UserId};
use tokio_postgres::Row;

use crate::row::{event, get, id, maybe_id, word};
use crate::statement::Statement;
use crate::{Store, StoreError};

/// What a new room is reserved under: every repeat names the same room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RoomKey {
    /// The direct room of two users, in whichever order.
    Direct(UserId, UserId),
    /// A group: its creator and the id of the command.
    Created(UserId, MessageId),
}

/// One of a user's rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomSummary {
    /// Which.
    pub room: RoomId,
    /// Direct or group.
    pub kind: RoomKind,
    /// Its name; empty for a direct room.
    pub name: String,
    /// The highest stored seq.
    pub head: Seq,
    /// The user's role.
    pub role: Role,
    /// The seq that the user joined at.
    pub joined_seq: Seq,
    /// Up to which the user has read.
    pub mark: Seq,
    /// Messages of others above the mark and among the newest 1,000 entries, tombstones left out.
    pub unread: i64,
    /// The last message among the newest 1,000 entries that the user may see and that is not
    /// deleted; of its body the first 200 characters.
    pub last: Option<Event>,
    /// Of a direct room, the other one.
    pub peer: Option<UserId>,
}

/// A member of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomMember {
    /// Who.
    pub user: UserId,
    /// Their name; empty for users that only their token knows.
    pub name: String,
    /// Their role.
    pub role: Role,
    /// The seq that they joined at.
    pub joined_seq: Seq,
    /// Up to which they have read.
    pub mark: Seq,
}

/// A room as one of its members sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomView {
    /// Which.
    pub room: RoomId,
    /// Direct or group.
    pub kind: RoomKind,
    /// Its name; empty for a direct room.
    pub name: String,
    /// The highest stored seq.
    pub head: Seq,
    /// Everybody in it, by id.
    pub members: Vec<RoomMember>,
}

/// Which part of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// The first ones above this seq.
    After(Seq),
    /// The last ones below this seq.
    Before(Seq),
}

/// A part of a room's history, by seq.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// What the user may see of it (I12).
    pub events: Vec<Event>,
    /// The highest seq that the user may see: of a room left, the one of the removal.
    pub head: Seq,
}

/// The most bytes of content in one page of a history: it is shorter then, but never empty for that.
pub const PAGE_BYTES: i64 = 4 * 1024 * 1024;

pub(crate) const RESERVE_ROOM: Statement = Statement::new(
    "reserve_room",
    // The update changes nothing; it makes the row that was there come back.
    "insert into room_key (key) values ($1)
     on conflict (key) do update set key = excluded.key
     returning room_id",
);

pub(crate) const ROOMS_OF: Statement = Statement::new(
    "rooms_of",
    // The stays are cut to the page first: what follows is done for each of them. Seqs have no gaps:
    // a range of them bounds what is looked at, whatever is filtered out of it.
    "with s as materialized (
         select room_id, user_id, role, joined_seq
         from membership
         where user_id = $1 and left_seq is null and room_id > $2
         order by room_id
         limit $3
     )
     select r.room_id, r.kind as room_kind, r.name, r.head, s.role, s.joined_seq,
            coalesce(k.upto, 0) as mark, p.user_id as peer, u.unread, l.*
     from s
     join room r on r.room_id = s.room_id
     left join read_mark k on k.room_id = s.room_id and k.user_id = s.user_id
     left join lateral (
         select p.user_id
         from membership p
         where p.room_id = r.room_id and p.user_id <> s.user_id and p.left_seq is null
         limit 1
     ) p on r.kind = 'direct'
     cross join lateral (
         select count(*) as unread
         from message m
         where m.room_id = r.room_id
           and m.seq > greatest(coalesce(k.upto, 0), s.joined_seq - 1, r.head - 1000)
           and m.kind = 'message' and m.sender_id <> s.user_id and m.octets > 0
     ) u
     left join lateral (
         select seq, sender_id, client_id, kind, at_ms,
                content || jsonb_build_object('body', left(content ->> 'body', 200)) as content
         from message m
         where m.room_id = r.room_id and m.seq >= s.joined_seq and m.seq > r.head - 1000
           and m.kind = 'message' and m.octets > 0
         order by m.seq desc
         limit 1
     ) l on true
     order by r.room_id",
);

pub(crate) const CROWDED: Statement = Statement::new(
    "rooms_per_user",
    // Of each no more is counted than has to be known.
    "select u.user_id
     from unnest($1::bigint[]) as u (user_id)
     cross join lateral (
         select count(*) as rooms
         from (
             select 1
             from membership s
             where s.user_id = u.user_id and s.left_seq is null and s.room_id <> $2
             limit $3
         ) s
     ) s
     where s.rooms >= $3
     limit 1",
);

pub(crate) const ROOM: Statement = Statement::new(
    "room",
    "select r.kind as room_kind, r.name as room_name, r.head, s.user_id, s.role, s.joined_seq,
            coalesce(u.name, '') as user_name, coalesce(k.upto, 0) as mark
     from room r
     join membership s on s.room_id = r.room_id and s.left_seq is null
     left join users u on u.id = s.user_id
     left join read_mark k on k.room_id = s.room_id and k.user_id = s.user_id
     where r.room_id = $2
       and exists (select 1 from membership me
                   where me.room_id = $2 and me.user_id = $1 and me.left_seq is null)
     order by s.user_id",
);

/// Who may see a seq is a join over stays (I12): each stay is read by itself, in index order, as
/// far as the page needs it.
macro_rules! history {
    ($bound:literal, $order:literal) => {
        concat!(
            "with stay as (
                 select joined_seq, left_seq from membership where user_id = $1 and room_id = $2
             ), seen as (
                 select array_agg(joined_seq) as firsts, array_agg(left_seq) as lasts,
                        case when bool_or(left_seq is null)
                             then (select head from room where room_id = $2)
                             else max(left_seq) end as head
                 from stay
             )
             select h.head, m.seq, m.sender_id, m.client_id, m.kind, m.at_ms,
                    case when m.first is null then m.content
                         else message_seen($2, m.seq, m.content, m.first, h.firsts, h.lasts)
                    end as content
             from seen h
             left join lateral (
                 select m.*, sum(m.octets) over (order by m.seq ",
            $order,
            " rows unbounded preceding) as upto
                 from (
                     select m.*
                     from stay s
                     cross join lateral (
                         select seq, sender_id, client_id, kind, at_ms, content, first, octets
                         from message m
                         where m.room_id = $2 and m.seq ",
            $bound,
            " $3 and m.seq >= s.joined_seq and (s.left_seq is null or m.seq <= s.left_seq)
                         order by m.seq ",
            $order,
            " limit $4
                     ) m
                     order by m.seq ",
            $order,
            " limit $4
                 ) m
             ) m on m.upto <= $5 or m.upto = m.octets
             where h.head is not null
             order by m.seq"
        )
    };
}

pub(crate) const HISTORY_AFTER: Statement = Statement::new("history_after", history!(">", "asc"));

pub(crate) const HISTORY_BEFORE: Statement =
    Statement::new("history_before", history!("<", "desc"));

pub(crate) const FIND_OUTCOME: Statement = Statement::new(
    "find_outcome",
    "select seq, sender_id, client_id, kind, at_ms, coalesce(first, content) as content
     from message
     where room_id = $1 and sender_id = $2 and kind = $3 and client_id = $4",
);

pub(crate) const CREATE_USER: Statement = Statement::new(
    "create_or_get_user",
    "insert into users (name) values ($1)
     on conflict (name) do update set name = excluded.name
     returning id",
);

pub(crate) const NAMES: Statement = Statement::new(
    "names",
    "select id, name from users where id = any ($1) order by id",
);

impl RoomKey {
    /// As it is stored: the pair in order, so that both ask for the same room.
    fn text(self) -> String {
        match self {
            Self::Direct(a, b) => format!("direct:{}:{}", a.min(b), a.max(b)),
            Self::Created(creator, id) => format!("created:{creator}:{id}"),
        }
    }
}

impl Store {
    /// The id of the room of `key`, reserved now if it is the first time.
    pub async fn reserve_room(&self, key: RoomKey) -> Result<RoomId, StoreError> {
        let rows = self.run(&RESERVE_ROOM, &[&key.text()]).await?;
        id(one(&rows)?, "room_id")
    }

    /// The rooms that the user is in, by id: the first `limit` above `after`.
    pub async fn rooms_of(
        &self,
        user: UserId,
        after: Option<RoomId>,
        limit: i64,
    ) -> Result<Vec<RoomSummary>, StoreError> {
        let after = after.map_or(0, RoomId::get); // ids begin with 1
        let limit = limit.max(0);
        let rows = self.run(&ROOMS_OF, &[&user.get(), &after, &limit]).await?;
        rows.iter().map(summary).collect()
    }

    /// One of `users` who is in `most` rooms or more beside `room`, if there is one.
    pub async fn crowded(
        &self,
        users: &[UserId],
        room: RoomId,
        most: i64,
    ) -> Result<Option<UserId>, StoreError> {
        let users: Vec<i64> = users.iter().map(|user| user.get()).collect();
        let rows = self.run(&CROWDED, &[&users, &room.get(), &most]).await?;
        rows.first().map(|row| id(row, "user_id")).transpose()
    }

    /// A room, if the user is in it.
    pub async fn room(&self, user: UserId, room: RoomId) -> Result<Option<RoomView>, StoreError> {
        let rows = self.run(&ROOM, &[&user.get(), &room.get()]).await?;
        let Some(first) = rows.first() else {
            return Ok(None);
        };
        Ok(Some(RoomView {
            room,
            kind: word(first, "room_kind")?,
            name: get(first, "room_name")?,
            head: id(first, "head")?,
            members: rows.iter().map(member).collect::<Result<_, _>>()?,
        }))
    }

    /// A part of a room's history: at most `limit` entries and [`PAGE_BYTES`]; none for who never was
    /// in it. Who has left sees what was said while they were there.
    pub async fn history(
        &self,
        user: UserId,
        room: RoomId,
        page: Page,
        limit: i64,
    ) -> Result<Option<History>, StoreError> {
        let (statement, bound) = match page {
            Page::After(seq) => (&HISTORY_AFTER, seq),
            Page::Before(seq) => (&HISTORY_BEFORE, seq),
        };
        let limit = limit.max(0);
        let rows = self
            .run(
                statement,
                &[&user.get(), &room.get(), &bound.get(), &limit, &PAGE_BYTES],
            )
            .await?;
        let Some(first) = rows.first() else {
            return Ok(None);
        };
        let mut events = Vec::with_capacity(rows.len());
        for row in &rows {
            if get::<Option<i64>>(row, "seq")?.is_some() {
                events.push(event(room, row)?);
            }
        }
        Ok(Some(History {
            events,
            head: id(first, "head")?,
        }))
    }

    /// What a command led to, if it is stored, before any edit: for callers whose outcome did not come in time.
    /// `kind` is the event's word (`CommandKind::event_kind`).
    pub async fn find_outcome(
        &self,
        room: RoomId,
        sender: UserId,
        kind: &str,
        id: MessageId,
    ) -> Result<Option<Event>, StoreError> {
        let rows = self
            .run(&FIND_OUTCOME, &[&room.get(), &sender.get(), &kind, &id])
            .await?;
        rows.first().map(|row| event(room, row)).transpose()
    }

    /// The user of that name, made when new.
    pub async fn create_or_get_user(&self, name: &str) -> Result<UserId, StoreError> {
        let rows = self.run(&CREATE_USER, &[&name]).await?;
        id(one(&rows)?, "id")
    }

    /// The names of those of `users` that exist.
    pub async fn names(&self, users: &[UserId]) -> Result<HashMap<UserId, String>, StoreError> {
        let users: Vec<i64> = users.iter().map(|user| user.get()).collect();
        let rows = self.run(&NAMES, &[&users]).await?;
        rows.iter()
            .map(|row| Ok((id(row, "id")?, get(row, "name")?)))
            .collect()
    }
}

fn one(rows: &[Row]) -> Result<&Row, StoreError> {
    rows.first()
        .ok_or_else(|| StoreError::Corrupt("an upsert returned no row".to_owned()))
}

fn member(row: &Row) -> Result<RoomMember, StoreError> {
    Ok(RoomMember {
        user: id(row, "user_id")?,
        name: get(row, "user_name")?,
        role: word(row, "role")?,
        joined_seq: id(row, "joined_seq")?,
        mark: id(row, "mark")?,
    })
}

fn summary(row: &Row) -> Result<RoomSummary, StoreError> {
    let room = id(row, "room_id")?;
    let last = match get::<Option<i64>>(row, "seq")? {
        Some(_) => Some(event(room, row)?),
        None => None,
    };
    Ok(RoomSummary {
        room,
        kind: word(row, "room_kind")?,
        name: get(row, "name")?,
        head: id(row, "head")?,
        role: word(row, "role")?,
        joined_seq: id(row, "joined_seq")?,
        mark: id(row, "mark")?,
        unread: get(row, "unread")?,
        last,
        peer: maybe_id(row, "peer")?,
    })
}
