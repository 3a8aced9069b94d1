//! Records of `chat-dlq`: what could not be processed, with its reason and origin (I11).

use bytes::Bytes;
use protocol::{DlqReason, Header, Lane, header};
use service::kafka::MAX_RECORD_BYTES;

use crate::ports::{Incoming, Outgoing, Sink};

/// What the reason and origin of a dead letter take at most: key and topic names included.
const ROOM_FOR_HEADERS: usize = 2_048;
/// The most of a record's key that is kept. Keys are numbers; others are part of what is wrong.
const MAX_KEY: usize = 512;

/// The dead letter of a record that was read from a lane of `topic`.
pub fn burial(topic: &str, lane: Lane, raw: &Incoming, reason: DlqReason) -> Outgoing {
    let text = |text: String| Bytes::from(text);
    let mut headers: Vec<Header> = vec![
        said(reason),
        (header::ORIGIN_TOPIC, text(topic.to_owned())),
        (header::ORIGIN_PARTITION, text(lane.to_string())),
        (header::ORIGIN_OFFSET, text(raw.offset.to_string())),
    ];
    let key = raw.key.as_ref();
    headers.extend(key.map(|key| (header::ORIGIN_KEY, cut(key, MAX_KEY))));
    Outgoing {
        sink: Sink::Dlq,
        key: Some(text(format!("{topic}/{lane}"))),
        headers,
        payload: raw.payload.as_ref().map(fitting),
        trace: None,
    }
}

/// The dead letter of one of this process's own records that Kafka will never take, with the headers
/// that say what it is; its recipients are those of its seq. None: it is a dead letter itself.
pub fn undeliverable(record: &Outgoing) -> Option<Outgoing> {
    let place = match record.sink {
        Sink::Home(home) => format!("home/{home}"),
        Sink::Broadcast => "broadcast".to_owned(),
        Sink::Push => "push".to_owned(),
        Sink::Dlq => return None,
    };
    let named = record
        .headers
        .iter()
        .filter(|(name, _)| *name != header::TO);
    let headers = named.cloned().chain([said(DlqReason::Undeliverable)]);
    Some(Outgoing {
        sink: Sink::Dlq,
        key: Some(Bytes::from(place)),
        headers: headers.collect(),
        payload: record.payload.as_ref().map(fitting),
        trace: None,
    })
}

/// Whether a dead letter's key or value may be less than what came: those that are cut have exactly
/// the most that is kept.
pub fn may_be_cut(key: Option<&Bytes>, payload: Option<&Bytes>) -> bool {
    let full = |bytes: Option<&Bytes>, most| bytes.is_some_and(|bytes| bytes.len() >= most);
    full(key, MAX_KEY) || full(payload, MAX_RECORD_BYTES - ROOM_FOR_HEADERS)
}

fn said(reason: DlqReason) -> Header {
    let reason = reason.as_str().as_bytes();
    (header::REASON, Bytes::from_static(reason))
}

/// The bytes as they came, less what would make the record with its reason larger than a record may
/// be: a lane must not stand still before what it can't bury.
fn fitting(payload: &Bytes) -> Bytes {
    cut(payload, MAX_RECORD_BYTES - ROOM_FOR_HEADERS)
}

fn cut(bytes: &Bytes, most: usize) -> Bytes {
    bytes.slice(..bytes.len().min(most))
}
