//! What a push says, for those who are told without being connected.

use std::collections::HashMap;

use protocol::{Event, EventKind, RoomId, Seq, UserId};

use crate::row::{event, id};
use crate::statement::Statement;
use crate::{Store, StoreError};

/// The longest beginning of a body in a notification, in characters.
const PREVIEW_CHARS: usize = 120;

/// A message for somebody.
pub type Wanted = (UserId, RoomId, Seq);

/// What a notification says of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whose it is.
    pub sender: UserId,
    /// The beginning of the body, or what happened instead.
    pub preview: String,
    /// When its gateway took the message, ms since 1970.
    pub at: i64,
}

impl Notice {
    fn of(event: &Event) -> Self {
        let preview = match &event.kind {
            EventKind::Message { body, .. } => body.chars().take(PREVIEW_CHARS).collect(),
            other => other.word().to_owned(),
        };
        Self {
            sender: event.from,
            preview,
            at: event.at,
        }
    }
}

/// A message has one stay of a user around its seq, or none (I12). The beginning of a body is all
/// that is told of it: a long one does not travel.
pub(crate) const NOTICES: Statement = Statement::new(
    "notices",
    "select w.user_id, w.room_id, m.seq, m.sender_id, m.client_id, m.kind, m.at_ms,
            case when m.kind = 'message'
                 then s.seen || jsonb_build_object('body', left(s.seen ->> 'body', 200))
                 else s.seen end as content
     from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as w (user_id, room_id, seq)
     cross join lateral (
         select seq, sender_id, client_id, kind, at_ms, content, first, octets
         from message m
         where m.room_id = w.room_id and m.seq = w.seq
         limit 1
     ) m
     cross join lateral (
         select case when m.first is null then m.content
                     else message_seen(w.room_id, m.seq, m.content, m.first,
                                       array_agg(joined_seq), array_agg(left_seq))
                end as seen,
                bool_or(m.seq between joined_seq and coalesce(left_seq, m.seq)) as member
         from membership s
         where s.room_id = w.room_id and s.user_id = w.user_id
     ) s
     where s.member and m.sender_id <> w.user_id and m.octets > 0",
);

impl Store {
    /// What each user is to be told of a message, as they may see it now (I12). Not in the answer: a
    /// message that is not there or was deleted, one's own (I8), and one of a room that the user was
    /// not in at its seq.
    pub async fn notices(&self, wanted: &[Wanted]) -> Result<HashMap<Wanted, Notice>, StoreError> {
        let users: Vec<i64> = wanted.iter().map(|(user, ..)| user.get()).collect();
        let rooms: Vec<i64> = wanted.iter().map(|(_, room, _)| room.get()).collect();
        let seqs: Vec<i64> = wanted.iter().map(|(.., seq)| seq.get()).collect();
        let rows = self.run(&NOTICES, &[&users, &rooms, &seqs]).await?;
        rows.iter()
            .map(|row| {
                let room = id(row, "room_id")?;
                let event = event(room, row)?;
                Ok(((id(row, "user_id")?, room, event.seq), Notice::of(&event)))
            })
            .collect()
    }
}
