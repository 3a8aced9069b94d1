//! A record of `chat-send`: a command, or poison with its reason.

use bytes::Bytes;
use protocol::{Command, CommandKind, DlqReason, Invalid, Lane, Origin, RejectCode, lane_of};
use service::trace::Span;
use store::EventKey;

use crate::ports::Incoming;

/// One record and what it is. Kept as it came until it is committed: it may have to be decided
/// again, or buried.
#[derive(Debug)]
pub struct Received {
    /// The lane that it was read from.
    pub lane: Lane,
    /// The epoch that it was read under: what was read under an older one is read again.
    pub epoch: i64,
    /// The bytes as they came.
    pub raw: Incoming,
    /// What they say.
    pub content: Content,
    /// From its reading to the sending of what follows, if it is traced. Told only then: what is read again is
    /// traced by whoever comes to its end.
    pub span: Option<Span>,
}

/// What a record says.
#[derive(Debug, Clone)]
pub enum Content {
    /// Something to decide.
    Command(Command),
    /// Nothing that can be decided; with the command, if it is one and its origin can be told.
    Poison(DlqReason, Option<Box<Command>>),
    /// A command that can't be processed; it is in `chat-dlq` already, and its origin is told this.
    Buried(Command, Refusal),
}

/// Why a command is rejected.
pub type Refusal = (RejectCode, &'static str);

/// What the origin of a command is told that is in `chat-dlq` for its content.
pub const UNSTORABLE: Refusal = (RejectCode::Invalid, "the command can't be stored");

impl Received {
    /// Reads a record of `lane`, one of `lanes`.
    pub fn read(lane: Lane, epoch: i64, lanes: i32, raw: Incoming) -> Self {
        let content = understand(lane, lanes, &raw);
        Self {
            lane,
            epoch,
            raw,
            content,
            span: None,
        }
    }

    /// The offset.
    pub fn offset(&self) -> i64 {
        self.raw.offset
    }

    /// The command, if it is one that can be decided.
    pub fn command(&self) -> Option<&Command> {
        match &self.content {
            Content::Command(command) => Some(command),
            Content::Poison(..) | Content::Buried(..) => None,
        }
    }

    /// Roughly what it keeps in memory.
    pub fn bytes(&self) -> usize {
        self.raw.payload.as_ref().map_or(0, Bytes::len)
    }
}

/// What names a command in the store.
pub fn key_of(command: &Command) -> EventKey {
    EventKey {
        room: command.room,
        sender: command.sender,
        kind: command.kind.event_kind(),
        id: command.id,
    }
}

/// Who waits for an answer even if all goes well: everybody but the sender of a message, who sees
/// the message itself.
pub fn awaits_stored(command: &Command) -> Option<Origin> {
    match command.kind {
        CommandKind::Message { .. } => None,
        _ => command.origin,
    }
}

fn understand(lane: Lane, lanes: i32, raw: &Incoming) -> Content {
    let payload = raw.payload.as_deref().unwrap_or_default();
    let command = match Command::decode(payload) {
        Ok(command) => command,
        Err(invalid) => {
            let reason = invalid.reason();
            return match invalid {
                Invalid::Content { command, .. } => Content::Poison(reason, Some(command)),
                Invalid::Json(_) | Invalid::Version(_) => Content::Poison(reason, None),
            };
        }
    };
    if raw.key.as_deref() != Some(command.key().as_bytes()) {
        return Content::Poison(DlqReason::WrongKey, None);
    }
    if lane_of(command.room, lanes) != lane {
        return Content::Poison(DlqReason::WrongLane, None);
    }
    Content::Command(command)
}
