//! A record of `chat-send`: a command, or poison with its reason.

use bytes::Bytes;
use protocol::{
    BodyError, Command, CommandKind, DlqReason, Header, Invalid, Lane, Origin, RejectCode, header,
    lane_of,
};
use service::kafka::MAX_RECORD_BYTES;
use store::EventKey;

use crate::ports::{Incoming, Outgoing, Sink};

/// What the reason and origin of a dead letter take at most, topic names included.
const ROOM_FOR_HEADERS: usize = 2_048;

/// One record and what it is. Kept as it came until it is committed: it may have to be decided
/// again, or buried.
#[derive(Debug, Clone)]
pub struct Received {
    /// The lane that it was read from.
    pub lane: Lane,
    /// The epoch that it was read under: what was read under an older one is read again.
    pub epoch: i64,
    /// The bytes as they came.
    pub raw: Incoming,
    /// What they say.
    pub content: Content,
}

/// What a record says.
#[derive(Debug, Clone)]
pub enum Content {
    /// Something to decide.
    Command(Command),
    /// Nothing that can be decided.
    Poison(DlqReason),
    /// A command that can't be processed; it is in `chat-dlq` already, and its origin is told this.
    Buried(Command, Refusal),
}

/// Why a command is rejected.
pub type Refusal = (RejectCode, &'static str);

impl Received {
    /// Reads a record of `lane`, one of `lanes`.
    pub fn read(lane: Lane, epoch: i64, lanes: i32, raw: Incoming) -> Self {
        let content = match understand(lane, lanes, &raw) {
            Ok(command) => Content::Command(command),
            Err(reason) => Content::Poison(reason),
        };
        Self {
            lane,
            epoch,
            raw,
            content,
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
            Content::Poison(_) | Content::Buried(..) => None,
        }
    }

    /// Roughly what it keeps in memory.
    pub fn bytes(&self) -> usize {
        self.raw.payload.as_ref().map_or(0, Bytes::len)
    }

    /// The record of `chat-dlq` that says why this one was not processed.
    pub fn burial(&self, reason: DlqReason, topic: &str) -> Outgoing {
        let place = format!("{topic}/{}", self.lane);
        let text = |text: String| Bytes::from(text);
        let headers: Vec<Header> = vec![
            (
                header::REASON,
                Bytes::from_static(reason.as_str().as_bytes()),
            ),
            (header::ORIGIN_TOPIC, text(topic.to_owned())),
            (header::ORIGIN_PARTITION, text(self.lane.to_string())),
            (header::ORIGIN_OFFSET, text(self.raw.offset.to_string())),
        ];
        Outgoing {
            sink: Sink::Dlq,
            key: Some(text(place)),
            headers,
            payload: self.raw.payload.as_ref().map(cut),
        }
    }
}

/// The record of `chat-dlq` for one of this process's own that Kafka will never take, with the headers
/// that say what it is; its recipients are those of its seq. None: it is a dead letter itself.
pub fn undeliverable(record: &Outgoing) -> Option<Outgoing> {
    let place = match record.sink {
        Sink::Home(home) => format!("home/{home}"),
        Sink::Push => "push".to_owned(),
        Sink::Dlq => return None,
    };
    let reason = DlqReason::Undeliverable.as_str().as_bytes();
    let named = record
        .headers
        .iter()
        .filter(|(name, _)| *name != header::TO);
    let headers = named
        .cloned()
        .chain([(header::REASON, Bytes::from_static(reason))]);
    Some(Outgoing {
        sink: Sink::Dlq,
        key: Some(Bytes::from(place)),
        headers: headers.collect(),
        payload: record.payload.as_ref().map(cut),
    })
}

/// The bytes as they came, less what would make the record with its reason larger than a record may
/// be: a lane must not stand still before what it can't bury.
fn cut(payload: &Bytes) -> Bytes {
    payload.slice(..payload.len().min(MAX_RECORD_BYTES - ROOM_FOR_HEADERS))
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

fn understand(lane: Lane, lanes: i32, raw: &Incoming) -> Result<Command, DlqReason> {
    let payload = raw.payload.as_deref().unwrap_or_default();
    let command = Command::decode(payload).map_err(|invalid| match invalid {
        Invalid::Json(_) => DlqReason::Undecodable,
        Invalid::Version(_) => DlqReason::UnknownVersion,
        Invalid::Content(BodyError::Empty(_) | BodyError::TooLong { .. } | BodyError::Nul(_)) => {
            DlqReason::BadData
        }
    })?;
    if raw.key.as_deref() != Some(command.key().as_bytes()) {
        return Err(DlqReason::WrongKey);
    }
    if lane_of(command.room, lanes) != lane {
        return Err(DlqReason::WrongLane);
    }
    Ok(command)
}
