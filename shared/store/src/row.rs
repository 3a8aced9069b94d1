//! Stored values as the protocol's types. What does not fit is corrupt, never absent.

use std::str::FromStr;
use std::time::Duration;

use protocol::{Event, EventKind, MessageId, RoomId};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use crate::StoreError;

/// A column as the driver gives it.
pub(crate) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, StoreError> {
    row.try_get(column)
        .map_err(|error| StoreError::Corrupt(crate::error::with_sources(&error)))
}

/// A number column as an id or seq.
pub(crate) fn id<T: TryFrom<i64>>(row: &Row, column: &str) -> Result<T, StoreError> {
    number(get(row, column)?)
}

/// A number column that may be null.
pub(crate) fn maybe_id<T: TryFrom<i64>>(row: &Row, column: &str) -> Result<Option<T>, StoreError> {
    get::<Option<i64>>(row, column)?.map(number).transpose()
}

/// A stored number as an id or seq.
pub(crate) fn number<T: TryFrom<i64>>(value: i64) -> Result<T, StoreError> {
    T::try_from(value).map_err(|_| StoreError::Corrupt(format!("{value} is no id")))
}

/// A text column that holds one of a few words.
pub(crate) fn word<T: FromStr>(row: &Row, column: &str) -> Result<T, StoreError> {
    parse_word(get(row, column)?)
}

/// One of a few words.
pub(crate) fn parse_word<T: FromStr>(text: &str) -> Result<T, StoreError> {
    text.parse()
        .map_err(|_| StoreError::Corrupt(format!("{text:?} in column of words")))
}

/// An event from the columns `seq`, `sender_id`, `client_id`, `kind`, `at_ms` and `content`.
pub(crate) fn event(room: RoomId, row: &Row) -> Result<Event, StoreError> {
    event_of(
        room,
        get(row, "seq")?,
        get(row, "sender_id")?,
        get(row, "client_id")?,
        get(row, "kind")?,
        get(row, "at_ms")?,
        get(row, "content")?,
    )
}

/// An event from its stored parts.
pub(crate) fn event_of(
    room: RoomId,
    seq: i64,
    sender: i64,
    id: MessageId,
    kind: &str,
    at: i64,
    content: Value,
) -> Result<Event, StoreError> {
    let kind = EventKind::from_stored(kind, content)
        .map_err(|error| StoreError::Corrupt(crate::error::with_sources(&error)))?;
    Ok(Event {
        room,
        seq: number(seq)?,
        id,
        from: number(sender)?,
        at,
        kind,
    })
}

/// A duration as Postgres is told it.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
