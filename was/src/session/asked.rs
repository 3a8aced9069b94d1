//! What a frame of a client that has said hello comes to: a command, a signal, or a refusal.

use std::time::Duration;

use protocol::{
    ClientFrame, Command, CommandKind, ErrorCode, MessageId, Origin, RejectCode, RoomId,
    SignalKind, SignalRecord, UserId, VERSION,
};

use super::message::{Now, Output};
use super::refusal::{error, reject};

/// What is to be done; nothing for a signal over the limit. `allowed`: within the sender's rate, or how
/// long until it is.
pub(super) fn asked(
    frame: ClientFrame,
    sender: UserId,
    origin: Origin,
    allowed: Result<(), Duration>,
    now: Now,
) -> Vec<Output> {
    let (room, id, retry, kind) = match frame {
        ClientFrame::Send {
            room,
            id,
            body,
            retry,
        } => (room, id, retry, CommandKind::Message { body }),
        ClientFrame::Edit {
            room,
            seq,
            id,
            body,
            retry,
        } => (room, id, retry, CommandKind::Edit { seq, body }),
        ClientFrame::Delete {
            room,
            seq,
            id,
            retry,
        } => (room, id, retry, CommandKind::Delete { seq }),
        ClientFrame::Read { room, seq } => {
            return signal(room, sender, SignalKind::Read { seq }, allowed, now);
        }
        ClientFrame::Typing { room } => {
            return signal(room, sender, SignalKind::Typing, allowed, now);
        }
        ClientFrame::Watch { .. } => {
            let message = "presence is not served yet".to_owned();
            return vec![error(ErrorCode::NotAvailable, message, None)];
        }
        ClientFrame::Hello { .. } => {
            let message = "hello was said before".to_owned();
            return vec![error(ErrorCode::AlreadyGreeted, message, None)];
        }
    };
    if let Err(wait) = allowed {
        let message = "more commands than the limit".to_owned();
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        return refused(id, RejectCode::RateLimited, message, Some(wait));
    }
    if let Err(invalid) = kind.check() {
        return refused(id, RejectCode::Invalid, invalid.to_string(), None);
    }
    vec![Output::Produce(Box::new(Command {
        v: VERSION,
        room,
        sender,
        id,
        retry,
        at: now.wall_ms,
        origin: Some(origin),
        kind,
    }))]
}

/// Counted, and told.
fn refused(id: MessageId, code: RejectCode, message: String, wait_ms: Option<u64>) -> Vec<Output> {
    vec![Output::Refused(code), reject(id, code, message, wait_ms)]
}

/// Over the limit they are dropped unanswered: the next typing or read mark makes up for it.
fn signal(
    room: RoomId,
    sender: UserId,
    kind: SignalKind,
    allowed: Result<(), Duration>,
    now: Now,
) -> Vec<Output> {
    let signal = SignalRecord {
        v: VERSION,
        room,
        sender,
        at: now.wall_ms,
        kind,
    };
    let signal = allowed.is_ok().then_some(Output::Signal(signal));
    signal.into_iter().collect()
}
