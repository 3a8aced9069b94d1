//! The one catch-up statement of hello, gap, settle, audit and rebuild (docs/architecture.md, "Connecting").

use protocol::{Event, MessageId, RoomId, RoomKind, Seq, UserId};
use serde_json::Value;
use tokio_postgres::Row;

use crate::row::{event_of, get, id, maybe_id, number, word};
use crate::statement::Statement;
use crate::{Store, StoreError};

/// Which rooms are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// All that the user is in, and those named that they have left.
    #[default]
    AllRooms,
    /// Only those named in `cursors`: the gap of one room.
    Named,
}

/// Where a room without a cursor begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Baseline {
    /// At its head: nothing of it is replayed. For a hello: the device has never seen the room.
    #[default]
    Head,
    /// At `joined_seq` − 1: everything since the user joined. For a session that knows all rooms it
    /// had (settle, gap, audit): a room that it does not know is one that it was added to since.
    Joined,
}

/// What one session asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatchUpRequest {
    /// Whose session.
    pub user: UserId,
    /// The last seq seen per room; a room that is not named, or named with none, has no cursor.
    pub cursors: Vec<(RoomId, Option<Seq>)>,
    /// Which rooms are looked at.
    pub scope: Scope,
    /// Where rooms without a cursor begin.
    pub baseline: Baseline,
    /// Whether the members' read marks are wanted.
    pub marks: bool,
    /// The most events replayed in one room.
    pub max_per_room: i64,
    /// The most events replayed in all.
    pub max_total: i64,
}

/// What one session gets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CatchUpAnswer {
    /// By room id: every room looked at that the user is in, and each one left whose removal lies
    /// above its cursor.
    pub rooms: Vec<RoomCatchUp>,
}

/// One room of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomCatchUp {
    /// Which.
    pub room: RoomId,
    /// Direct or group.
    pub kind: RoomKind,
    /// The seq that the user joined at, of the latest stay.
    pub joined_seq: Seq,
    /// The seq of the removal: the user is no member any more.
    pub left_seq: Option<Seq>,
    /// The highest seq that the user may see. After this answer it is the session's cursor.
    pub head: Seq,
    /// What was taken as the cursor.
    pub from: Seq,
    /// The cursor was above the head and has been lowered to it.
    pub clamped: bool,
    /// Missed and not replayed, first and last: the older part of what was missed.
    pub gap: Option<(Seq, Seq)>,
    /// What was missed, by seq; the newest when there is a gap.
    pub events: Vec<Event>,
    /// The members' read marks, the user's own included; empty unless asked for, in rooms of more
    /// than 100 members, and beyond 1,000 in all.
    pub marks: Vec<(UserId, Seq)>,
}

pub(crate) const CATCH_UP: Statement =
    Statement::new("catch_up", include_str!("catchup/catch_up.sql"));

impl Store {
    /// Answers many sessions with one statement, on the primary; the answers are in the order of
    /// the requests. The events of each have at most `max_bytes` of content; what does not fit is a
    /// gap, as with the other limits. What is stored corrupt fails only the requests that it answers.
    pub async fn catch_up(
        &self,
        requests: &[CatchUpRequest],
        max_bytes: i64,
    ) -> Result<Vec<Result<CatchUpAnswer, StoreError>>, StoreError> {
        let mut users = Vec::with_capacity(requests.len());
        let (mut max_rooms, mut max_totals) = (Vec::new(), Vec::new());
        let (mut named, mut joined, mut marks) = (Vec::new(), Vec::new(), Vec::new());
        let (mut of, mut rooms, mut seqs) = (Vec::new(), Vec::new(), Vec::new());
        for (n, request) in (1_i64..).zip(requests) {
            users.push(request.user.get());
            max_rooms.push(request.max_per_room.max(0));
            max_totals.push(request.max_total.max(0));
            named.push(request.scope == Scope::Named);
            joined.push(request.baseline == Baseline::Joined);
            marks.push(request.marks);
            for (room, seq) in &request.cursors {
                of.push(n);
                rooms.push(room.get());
                seqs.push(seq.map(Seq::get));
            }
        }
        let rows = self
            .run(
                &CATCH_UP,
                &[
                    &users,
                    &max_rooms,
                    &max_totals,
                    &named,
                    &joined,
                    &marks,
                    &of,
                    &rooms,
                    &seqs,
                    &max_bytes,
                ],
            )
            .await?;
        let mut answers: Vec<_> = requests
            .iter()
            .map(|_| Ok(CatchUpAnswer::default()))
            .collect();
        for row in &rows {
            let n: i64 = get(row, "req")?; // counted from 1
            let Some(answer) = usize::try_from(n - 1).ok().and_then(|n| answers.get_mut(n)) else {
                return Err(StoreError::Corrupt(format!("answer to request {n}")));
            };
            match (room_catch_up(row), &mut *answer) {
                (Ok(room), Ok(answer)) => answer.rooms.push(room),
                (Err(error), Ok(_)) => *answer = Err(error),
                (_, Err(_)) => {}
            }
        }
        Ok(answers)
    }
}

fn room_catch_up(row: &Row) -> Result<RoomCatchUp, StoreError> {
    let room = id(row, "room_id")?;
    let head: Seq = id(row, "head")?;
    let events = events(room, row)?;
    let missed: i64 = get(row, "missed")?;
    let gap = if usize::try_from(missed).is_ok_and(|missed| missed <= events.len()) {
        None
    } else {
        let last = events.first().map_or(head, |event| event.seq.previous());
        maybe_id(row, "first_missed")?.map(|first| (first, last))
    };
    Ok(RoomCatchUp {
        room,
        kind: word(row, "kind")?,
        joined_seq: id(row, "joined_seq")?,
        left_seq: maybe_id(row, "left_seq")?,
        head,
        from: id(row, "base")?,
        clamped: get(row, "clamped")?,
        gap,
        events,
        marks: marks(row)?,
    })
}

/// Arrays of an aggregate over nothing are null.
fn events(room: RoomId, row: &Row) -> Result<Vec<Event>, StoreError> {
    let Some(seqs) = get::<Option<Vec<i64>>>(row, "seqs")? else {
        return Ok(Vec::new());
    };
    let senders: Vec<i64> = get(row, "senders")?;
    let ids: Vec<MessageId> = get(row, "ids")?;
    let kinds: Vec<&str> = get(row, "kinds")?;
    let ats: Vec<i64> = get(row, "ats")?;
    let contents: Vec<Value> = get(row, "contents")?;
    let parts = seqs.into_iter().zip(senders).zip(ids);
    let parts = parts.zip(kinds).zip(ats).zip(contents);
    parts
        .map(|(((((seq, sender), id), kind), at), content)| {
            event_of(room, seq, sender, id, kind, at, content)
        })
        .collect()
}

fn marks(row: &Row) -> Result<Vec<(UserId, Seq)>, StoreError> {
    let users: Vec<i64> = get::<Option<_>>(row, "mark_users")?.unwrap_or_default();
    let uptos: Vec<i64> = get::<Option<_>>(row, "mark_uptos")?.unwrap_or_default();
    users
        .into_iter()
        .zip(uptos)
        .map(|(user, upto)| Ok((number(user)?, number(upto)?)))
        .collect()
}
