//! What travels between clients, gateways, classifiers and stores, and how it is written down.
//!
//! Pure: no sockets, no Kafka, no Redis, no Postgres, no clock and no randomness of its own.
//! Every encoding is here once, so that both ends of each wire agree by construction.

mod command;
mod content;
mod device;
mod event;
mod frame;
mod id;
mod lane;
mod limits;
mod outcome;
mod push;
mod record;
mod reminder;
mod rfc3339;

pub use command::{Command, CommandKind, Invalid, Origin, VERSION};
pub use content::{BodyError, MAX_BODY_BYTES, MAX_BODY_CHARS, check_body, check_name};
pub use device::{DeviceToken, NoToken, Platform};
pub use event::{Event, EventKind, UnknownEvent};
pub use frame::{BadFrame, ClientFrame, Presence, ServerFrame};
pub use id::{Address, BROADCAST, Home, IdError, Lane, MAX_ID, MessageId, RoomId, Seq, UserId};
pub use lane::lane_of;
pub use limits::{Limits, MAX_FRAME_BYTES, MAX_RECIPIENTS_PER_RECORD};
pub use outcome::{CloseCode, ErrorCode, RejectCode};
pub use push::PushRecord;
pub use record::{
    Delivery, DeliveryHeaders, DlqReason, Header, RecordError, SignalKind, SignalRecord, Target,
    header,
};
pub use reminder::Reminders;
pub use rfc3339::format_ms;

pub use command::{Role, RoomKind, UnknownWord};
