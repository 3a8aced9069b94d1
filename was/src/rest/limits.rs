//! How much requests may take: of a caller's rate, and of the store that sessions need, too.

use std::ops::Deref;
use std::time::{Duration, Instant};

use http::StatusCode;
use protocol::{RejectCode, RoomId, UserId};
use store::Store;
use tokio::sync::SemaphorePermit;

use super::problem::Problem;
use crate::gateway::Gateway;

/// How long a request waits for its turn at the store.
const TURN_WITHIN: Duration = Duration::from_secs(5);

/// The store, for one question.
pub(super) struct Asking<'a> {
    store: &'a Store,
    _turn: SemaphorePermit<'a>,
}

impl Deref for Asking<'_> {
    type Target = Store;

    fn deref(&self) -> &Store {
        self.store
    }
}

impl Gateway {
    /// Takes one from the caller's rate of commands.
    pub(super) fn allow_request(&self, user: UserId) -> Result<(), Problem> {
        self.rates.take(user, Instant::now()).map_err(|wait| {
            self.observed.refuse(RejectCode::RateLimited);
            Problem::too_fast(wait)
        })
    }

    /// Takes one from the caller's rate of reads: as high as that of commands, and apart from it.
    pub(super) fn allow_read(&self, user: UserId) -> Result<(), Problem> {
        self.read_rates
            .take(user, Instant::now())
            .map_err(Problem::too_fast)
    }

    /// Whether each of these users may be in one more room, or is in it already. What is under way at the
    /// same time is not counted: the limit keeps catch-up within its time, and some more don't matter.
    pub(super) async fn allow_room(&self, users: &[UserId], room: RoomId) -> Result<(), Problem> {
        let store = self.ask_store().await?;
        let crowded = store.crowded(users, room, self.rooms_per_user).await?;
        crowded.map_or(Ok(()), |user| {
            let most = self.rooms_per_user;
            let text = format!("user {user} is in as many rooms as one may be in, which is {most}");
            Err(Problem::new(StatusCode::CONFLICT, "too_many_rooms", text))
        })
    }

    /// The store, in turn: requests together have half of its connections, so that however many
    /// come, sessions catch up.
    pub(super) async fn ask_store(&self) -> Result<Asking<'_>, Problem> {
        let turn = tokio::time::timeout(TURN_WITHIN, self.store_turns.acquire()).await;
        match turn {
            Ok(Ok(turn)) => Ok(Asking {
                store: &self.store,
                _turn: turn,
            }),
            _ => Err(Problem::unavailable("too many requests wait, try again")),
        }
    }
}
