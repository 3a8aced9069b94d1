//! The one catch-up statement of hello, gap, settle, audit and rebuild (§4).

use protocol::{Event, RoomId, RoomKind, Seq, UserId};

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
    /// The members' read marks, the user's own included; empty unless asked for.
    pub marks: Vec<(UserId, Seq)>,
}

impl Store {
    /// Answers many sessions with one statement, on the primary; the answers are in the order of
    /// the requests.
    pub async fn catch_up(
        &self,
        requests: &[CatchUpRequest],
    ) -> Result<Vec<CatchUpAnswer>, StoreError> {
        let _ = requests;
        todo!()
    }
}
