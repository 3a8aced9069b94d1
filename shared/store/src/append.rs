//! The one way to write a room's log: a single fenced call (docs/architecture.md, "One message, step by step").

use std::time::Duration;

use protocol::{Event, Lane, Role, RoomId, Seq, UserId};

use crate::statement::Statement;
use crate::{Store, StoreError};

mod columns;

use columns::Columns;

/// How far a batch takes one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneAdvance {
    /// Which.
    pub lane: Lane,
    /// The epoch of the caller's claim.
    pub epoch: i64,
    /// The `applied` that the batch was decided on (trap 15).
    pub expected_applied: i64,
    /// The last offset that the batch decides.
    pub applied: i64,
    /// The last offset whose deliveries are acknowledged by now. Never moves back.
    pub routed: i64,
}

/// A user becomes a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StayOpened {
    /// Where.
    pub room: RoomId,
    /// Who.
    pub user: UserId,
    /// The seq of the event that did it: the first that the user may see.
    pub joined_seq: Seq,
    /// As what.
    pub role: Role,
}

/// A member goes. `joined_seq` says which stay: a batch may remove and add the same user more than
/// once (trap 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StayClosed {
    /// Where.
    pub room: RoomId,
    /// Who.
    pub user: UserId,
    /// Which stay.
    pub joined_seq: Seq,
    /// The seq of the event that ended it: the last that the user may see.
    pub left_seq: Seq,
}

/// A member's role changes, in the stay that began at `joined_seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleChanged {
    /// Where.
    pub room: RoomId,
    /// Who.
    pub user: UserId,
    /// Which stay.
    pub joined_seq: Seq,
    /// To what. Of several for one stay the last one counts.
    pub role: Role,
}

/// What one call stores. Room rows (made, renamed, deleted) and the messages that edits and
/// deletions are about follow from `events`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// Who claims to own the lanes.
    pub owner: String,
    /// How long the lanes are renewed for.
    pub lease: Duration,
    /// Each lane that the batch comes from, once.
    pub lanes: Vec<LaneAdvance>,
    /// In the order of each room's seqs, without gaps.
    pub events: Vec<Event>,
    /// Stays that begin.
    pub opened: Vec<StayOpened>,
    /// Stays that end; also ones that begin in this batch. A deleted room's need not be named.
    pub closed: Vec<StayClosed>,
    /// Roles that change in stays that were or are begun.
    pub roles: Vec<RoleChanged>,
}

/// Why a batch was not stored, sorted by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Not this owner's under this epoch, or `applied` is not what the batch was decided on: drop
    /// these lanes' states and read the lanes again; append the others' part again.
    #[error("lanes {0:?} are not as the batch expects")]
    Fenced(Vec<Lane>),
    /// (room, sender, kind, id) is stored already: look it up and decide again.
    #[error("an id of the batch is stored already")]
    IdTaken,
    /// (room, seq), a head or a stay is not as the states had it: they were stale, as `Fenced` for
    /// all lanes of the batch.
    #[error("the states that the batch was decided on are stale: {0}")]
    SeqTaken(String),
    /// Something in the batch can't be stored: decide again in halves until it is alone.
    #[error("something in the batch can't be stored ({sqlstate}): {message}")]
    BadData {
        /// SQLSTATE, of class 22 or 23.
        sqlstate: String,
        /// What Postgres said.
        message: String,
    },
    /// The answer was lost: stored or not is unknown. Drop the states of all lanes of the batch and
    /// read the lanes again.
    #[error("whether the batch was stored is unknown: {0}")]
    Unknown(String),
    /// Known not to have been stored: append again, with backoff.
    #[error("Postgres is unavailable: {0}")]
    Unavailable(String),
}

impl AppendError {
    /// As the label of a metric.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Fenced(_) => "fenced",
            Self::IdTaken => "id_taken",
            Self::SeqTaken(_) => "seq_taken",
            Self::BadData { .. } => "bad_data",
            Self::Unknown(_) => "unknown",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

pub(crate) const APPEND: Statement = Statement::new(
    "append",
    "select append_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, \
     $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, \
     $35, $36, $37, $38, $39, $40, $41, $42, $43, $44)",
);

impl Store {
    /// Stores a batch whole or not at all, in one round trip.
    pub async fn append(&self, batch: &Batch) -> Result<(), AppendError> {
        let columns = Columns::of(batch)?;
        self.run(&APPEND, &columns.params())
            .await
            .map(drop)
            .map_err(|error| sort(&error))
    }
}

/// What a failed append means to the caller (docs/architecture.md, "Redelivery").
fn sort(error: &StoreError) -> AppendError {
    match error {
        StoreError::Unknown { reason, .. } => return AppendError::Unknown(reason.clone()),
        StoreError::Refused { sqlstate, .. } => {
            let db = error.db();
            let message = db.map_or_else(String::new, |db| db.message().to_owned());
            match sqlstate.as_str() {
                "SB001" => {
                    let lanes = db.and_then(|db| db.detail()).unwrap_or_default();
                    let lanes = lanes.split(',').filter_map(|lane| lane.parse().ok());
                    return AppendError::Fenced(lanes.map(Lane).collect());
                }
                "SB002" => return AppendError::SeqTaken(message),
                "23505" => {
                    // Each partition has its own name for the constraint; the end is the same.
                    let constraint = db.and_then(|db| db.constraint()).unwrap_or_default();
                    return if constraint.ends_with("client_id_key") {
                        AppendError::IdTaken
                    } else {
                        AppendError::SeqTaken(format!("{message} ({constraint})"))
                    };
                }
                state if state.starts_with("22") || state.starts_with("23") => {
                    return AppendError::BadData {
                        sqlstate: sqlstate.clone(),
                        message,
                    };
                }
                _ => {}
            }
        }
        _ => {}
    }
    // Rolled back, or never sent. Never dead-lettered: the batch is not to blame.
    AppendError::Unavailable(crate::error::with_sources(error))
}
