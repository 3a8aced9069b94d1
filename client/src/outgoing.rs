//! What the handle and the connection's task share.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use protocol::{ClientFrame, RoomId, Seq};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::outbox::{Ask, Due, Outbox};

/// Read marks and typing that wait for a socket that takes nothing at the moment.
const PASSING: usize = 64;

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
    /// Read marks and typing: worth nothing later, so dropped with the connection. At most [`PASSING`]: the oldest goes.
    passing: VecDeque<ClientFrame>,
    /// The last number seen, by room.
    pub(crate) cursors: BTreeMap<RoomId, Seq>,
    pub(crate) connected: bool,
}

impl Shared {
    pub(crate) fn new(outbox: Outbox, cursors: BTreeMap<RoomId, Seq>) -> Self {
        let state = State {
            outbox,
            passing: VecDeque::new(),
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
        let mut frames: Vec<_> = self.passing.drain(..).collect();
        if self.outbox.next_due(now).is_some_and(|due| due <= now) {
            frames.extend(self.outbox.due(now).into_iter().map(frame));
        }
        (frames, self.outbox.next_due(now))
    }

    /// Keeps what is worth something only now; true when there is a connection to write it to.
    pub(crate) fn pass(&mut self, frame: ClientFrame) -> bool {
        if self.connected {
            if self.passing.len() >= PASSING {
                self.passing.pop_front();
            }
            self.passing.push_back(frame);
        }
        self.connected
    }

    /// The connection has ended, and with it what was only for it.
    pub(crate) fn disconnected(&mut self) {
        self.connected = false;
        self.passing.clear();
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn typing(room: i64) -> ClientFrame {
        let room = RoomId::new(room).unwrap();
        ClientFrame::Typing { room }
    }

    /// I9: what passes is bounded while a socket takes nothing, and gone with it.
    #[test]
    fn i9_the_newest_that_passes_is_kept_and_only_while_connected() {
        let outbox = Outbox::new(1, Duration::from_secs(10));
        let shared = Shared::new(outbox, BTreeMap::new());
        let mut state = shared.lock();
        assert!(!state.pass(typing(1)));
        state.connected = true;
        for room in 1..=100 {
            assert!(state.pass(typing(room)));
        }
        let (frames, _) = state.take(Instant::now());
        assert_eq!(frames, (37..=100).map(typing).collect::<Vec<_>>());
        state.pass(typing(1));
        state.disconnected();
        assert_eq!(state.take(Instant::now()).0, []);
    }
}
