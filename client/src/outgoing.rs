//! What the handle and the connection's task share.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use protocol::{ClientFrame, RoomId, Seq};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::outbox::{Ask, Due, Outbox};

/// Shared by the handle, which adds, and the task, which writes. No channel: commands wait in the outbox anyway, and a
/// channel per connection costs more than an idle connection may.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// There is something to write.
    pub(crate) wake: Notify,
    /// The owner wants it closed.
    pub(crate) stop: CancellationToken,
    /// The task has ended.
    pub(crate) ended: CancellationToken,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) outbox: Outbox,
    /// Read marks and typing: worth nothing later, so dropped with the connection.
    pub(crate) passing: Vec<ClientFrame>,
    /// The last number seen, by room.
    pub(crate) cursors: BTreeMap<RoomId, Seq>,
    pub(crate) connected: bool,
}

impl Shared {
    pub(crate) fn new(outbox: Outbox, cursors: BTreeMap<RoomId, Seq>) -> Self {
        let state = State {
            outbox,
            passing: Vec::new(),
            cursors,
            connected: false,
        };
        Self {
            state: Mutex::new(state),
            wake: Notify::new(),
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
        }
    }

    /// Nothing that is done under the lock can panic half-way, so a poisoned one is as good.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes what is to be written now, and says when to ask again.
    pub(crate) fn take(&mut self, now: Instant) -> (Vec<ClientFrame>, Option<Instant>) {
        let mut frames = std::mem::take(&mut self.passing);
        if self.outbox.next_due(now).is_some_and(|due| due <= now) {
            frames.extend(self.outbox.due(now).into_iter().map(frame));
        }
        (frames, self.outbox.next_due(now))
    }

    pub(crate) fn saw(&mut self, room: RoomId, seq: Seq) {
        let cursor = self.cursors.entry(room).or_insert(seq);
        *cursor = seq.max(*cursor);
    }

    /// This user's stay in the room has ended and nothing follows: a client that lives for years keeps no cursor of every
    /// room it ever was in. A later stay is told from its beginning, except to a `hello` without any cursor, which has seen
    /// nothing yet: so the last one stays.
    pub(crate) fn left(&mut self, room: RoomId) {
        if self.cursors.len() > 1 {
            self.cursors.remove(&room);
        }
    }
}

fn frame(due: Due) -> ClientFrame {
    let Due { pending, retry } = due;
    let (room, id) = (pending.room, pending.id);
    match pending.ask {
        Ask::Send { body } => ClientFrame::Send {
            room,
            id,
            body,
            retry,
        },
        Ask::Edit { seq, body } => ClientFrame::Edit {
            room,
            seq,
            id,
            body,
            retry,
        },
        Ask::Delete { seq } => ClientFrame::Delete {
            room,
            seq,
            id,
            retry,
        },
    }
}
