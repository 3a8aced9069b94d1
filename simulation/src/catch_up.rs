//! The catch-up statement (`shared/store/src/catchup/catch_up.sql`) over plain data; without its limits, as
//! no session here is so far behind.

use protocol::{RoomId, Seq, UserId};
use was::session::{Answer, Query, RoomAnswer, Rooms};

use crate::postgres::{Stay, StoredLog, Tables};

/// What `query` finds for a session of `user` at this moment.
pub fn catch_up(tables: &Tables, user: UserId, query: &Query) -> Answer {
    // As `was::catchup` asks: who names no cursor at all begins at the head.
    let from_join = !(query.first && query.cursors.is_empty());
    let rooms = tables.rooms.iter().filter_map(|(room, log)| {
        let named = query.cursors.iter().find(|(named, _)| named == room);
        if named.is_none() && query.rooms == Rooms::Waiting {
            return None;
        }
        room_answer(*room, log, user, named.map(|named| named.1), from_join)
    });
    Answer {
        rooms: rooms.collect(),
    }
}

fn room_answer(
    room: RoomId,
    log: &StoredLog,
    user: UserId,
    named: Option<Option<Seq>>,
    from_join: bool,
) -> Option<RoomAnswer> {
    let mut stays: Vec<Stay> = log.stays.to_vec();
    stays.retain(|stay| stay.user == user && (named.is_some() || stay.left.is_none()));
    let latest = stays.iter().max_by_key(|stay| stay.joined)?;
    let cursor = named.flatten();
    let head = latest.left.unwrap_or_else(|| log.head());
    if let Some(left) = latest.left {
        let unseen = cursor.map_or(from_join, |cursor| cursor < left);
        if !unseen {
            return None;
        }
    }
    let from = match cursor {
        Some(cursor) => cursor.min(head),
        None if from_join => latest.joined.previous(),
        None => head,
    };
    let may_see = |seq: Seq| {
        let mut stays = stays.iter();
        stays.any(|stay| stay.joined <= seq && stay.left.is_none_or(|left| seq <= left))
    };
    let missed = log.events.iter();
    let missed = missed.filter(|event| event.seq > from && may_see(event.seq));
    Some(RoomAnswer {
        room,
        from,
        clamped: cursor.is_some_and(|cursor| cursor > head),
        head,
        gap: None,
        events: missed.map(|event| (event.seq, event.to_frame())).collect(),
        marks: Vec::new(),
    })
}
