//! The handle of a client.

use std::{collections::BTreeMap, sync::Arc};

use protocol::{BodyError, ClientFrame, MessageId, RoomId, Seq, UserId, check_body};
use tokio::sync::mpsc;
use tokio_util::sync::DropGuard;

use crate::{
    Options,
    event::Arrival,
    outbox::{Ask, Outbox, Pending},
    outgoing::Shared,
    output::{Events, Output},
    task::Task,
};

/// A connection to the chat that mends itself. Cheap to clone; it ends when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
    _stop: Arc<DropGuard>,
}

/// Why a command was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// As many commands as the outbox takes wait for their answer: come back later.
    #[error("the outbox is full")]
    Full,
    /// The servers would refuse it.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The client has stopped.
    #[error("the client has stopped")]
    Stopped,
}

impl Client {
    /// Starts connecting and returns at once; what happens comes out of [`Events`]. Dropping these ends the client.
    /// Must be called within a Tokio runtime.
    #[must_use]
    pub fn connect(options: Options) -> (Self, Events) {
        let (sender, receiver) = mpsc::channel(options.events.max(1));
        (
            Self::start(options, Output::Queue(sender)),
            Events(receiver),
        )
    }

    /// The same with a function that is called for each event on the connection's task: it must not block.
    #[must_use]
    pub fn with_handler(options: Options, handler: impl FnMut(Arrival) + Send + 'static) -> Self {
        Self::start(options, Output::Handler(Box::new(handler)))
    }

    fn start(mut options: Options, output: Output) -> Self {
        let cursors = std::mem::take(&mut options.cursors);
        let shared = Arc::new(Shared::new(
            Outbox::new(options.outbox, options.resend_after),
            cursors,
        ));
        let stop = Arc::new(shared.stop.clone().drop_guard());
        tokio::spawn(Task::new(options, Arc::clone(&shared), output).run());
        Self {
            shared,
            _stop: stop,
        }
    }

    /// Says something, now or as soon as there is a connection, until it is answered.
    ///
    /// # Errors
    /// When the outbox is full, the body can't be taken, or the client has stopped.
    pub fn send(&self, room: RoomId, body: impl Into<String>) -> Result<MessageId, SendError> {
        let id = MessageId::now_v7();
        self.send_as(room, id, body)?;
        Ok(id)
    }

    /// The same with an id of the caller's: repeated with the same id it is the same message.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn send_as(
        &self,
        room: RoomId,
        id: MessageId,
        body: impl Into<String>,
    ) -> Result<(), SendError> {
        let body = body.into();
        check_body(&body)?;
        self.push(Pending {
            room,
            id,
            ask: Ask::Send { body },
        })
    }

    /// Replaces the text of an own message.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn edit(
        &self,
        room: RoomId,
        seq: Seq,
        body: impl Into<String>,
    ) -> Result<MessageId, SendError> {
        let body = body.into();
        check_body(&body)?;
        let id = MessageId::now_v7();
        self.push(Pending {
            room,
            id,
            ask: Ask::Edit { seq, body },
        })?;
        Ok(id)
    }

    /// Takes a message away.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn delete(&self, room: RoomId, seq: Seq) -> Result<MessageId, SendError> {
        let id = MessageId::now_v7();
        self.push(Pending {
            room,
            id,
            ask: Ask::Delete { seq },
        })?;
        Ok(id)
    }

    /// Marks a room as read up to `seq`. Dropped without a connection, and when too many wait for one that is stuck.
    pub fn read(&self, room: RoomId, seq: Seq) {
        self.pass(ClientFrame::Read { room, seq });
    }

    /// Shows that this user is typing. Dropped as [`Client::read`].
    pub fn typing(&self, room: RoomId) {
        self.pass(ClientFrame::Typing { room });
    }

    /// Follows these users' presence. Dropped as [`Client::read`].
    pub fn watch(&self, users: Vec<UserId>) {
        self.pass(ClientFrame::Watch { users });
    }

    /// The last number seen in each room: what a later client of the same device begins with.
    #[must_use]
    pub fn cursors(&self) -> BTreeMap<RoomId, Seq> {
        self.shared.lock().cursors.clone()
    }

    /// Commands that wait for their answer.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.shared.lock().outbox.len()
    }

    /// Whether a server has greeted it and the connection stands, as far as known.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.lock().connected
    }

    /// Closes the connection and waits for its end. What waits in the outbox is dropped.
    pub async fn close(&self) {
        self.shared.stop.cancel();
        self.shared.ended.cancelled().await;
    }

    fn push(&self, pending: Pending) -> Result<(), SendError> {
        if self.shared.ended.is_cancelled() || self.shared.stop.is_cancelled() {
            return Err(SendError::Stopped);
        }
        self.shared
            .lock()
            .outbox
            .push(pending)
            .map_err(|_| SendError::Full)?;
        self.shared.wake.notify_one();
        Ok(())
    }

    fn pass(&self, frame: ClientFrame) {
        if self.shared.lock().pass(frame) {
            self.shared.wake.notify_one();
        }
    }
}
