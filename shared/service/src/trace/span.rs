//! A span from its beginning to its end.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span as Message, Status, span::SpanKind};

use super::{Context, Telling};

/// The flag of a sampled span, as in `traceparent`.
const SAMPLED: u32 = 0x01;

/// What a span is in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Somebody asked for it.
    Server,
    /// It asks another server.
    Client,
    /// It sends a record.
    Producer,
    /// It processes a record.
    Consumer,
}

/// A span that has begun. Dropped without [`end`](Self::end) it never was: what is not finished here is begun
/// anew by somebody else.
pub struct Span(Box<Begun>);

struct Begun {
    message: Message,
    context: Context,
    telling: Arc<Telling>,
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Span")
            .field("name", &self.0.message.name)
            .finish_non_exhaustive()
    }
}

impl Span {
    pub(super) fn begin(
        telling: &Arc<Telling>,
        parent: Option<Context>,
        kind: Kind,
        name: String,
    ) -> Self {
        let context = Context {
            // All zeros, which is no id, comes once in 2^64.
            trace: parent.map_or_else(rand::random, |parent| parent.trace),
            span: rand::random(),
        };
        let message = Message {
            trace_id: context.trace.to_vec(),
            span_id: context.span.to_vec(),
            parent_span_id: parent.map_or_else(Vec::new, |parent| parent.span.to_vec()),
            flags: SAMPLED,
            name,
            kind: match kind {
                Kind::Server => SpanKind::Server,
                Kind::Client => SpanKind::Client,
                Kind::Producer => SpanKind::Producer,
                Kind::Consumer => SpanKind::Consumer,
            }
            .into(),
            start_time_unix_nano: now(),
            ..Message::default()
        };
        Self(Box::new(Begun {
            message,
            context,
            telling: Arc::clone(telling),
        }))
    }

    /// What others are its children by.
    pub fn context(&self) -> Context {
        self.0.context
    }

    /// A span under this one.
    pub fn child(&self, kind: Kind, name: impl Into<String>) -> Self {
        let parent = Some(self.0.context);
        Self::begin(&self.0.telling, parent, kind, name.into())
    }

    /// Notes an attribute, by its name in OpenTelemetry's conventions or one that begins with `switchboard.`.
    pub fn note(&mut self, key: &str, value: impl Into<Noted>) {
        let Noted(value) = value.into();
        self.0.message.attributes.push(attribute(key, value));
    }

    /// It failed, by a word of few.
    pub fn fail(&mut self, error: &str) {
        self.note("error.type", error);
        self.0.message.status = Some(Status {
            code: StatusCode::Error.into(),
            message: String::new(),
        });
    }

    /// It is over, and is told.
    pub fn end(mut self) {
        self.0.message.end_time_unix_nano = now();
        let Begun {
            message, telling, ..
        } = *self.0;
        telling.tell(message);
    }
}

/// An attribute's value.
#[derive(Debug)]
pub struct Noted(Value);

impl From<&str> for Noted {
    fn from(text: &str) -> Self {
        Self(Value::StringValue(text.to_owned()))
    }
}

impl From<String> for Noted {
    fn from(text: String) -> Self {
        Self(Value::StringValue(text))
    }
}

impl From<i64> for Noted {
    fn from(number: i64) -> Self {
        Self(Value::IntValue(number))
    }
}

impl From<usize> for Noted {
    fn from(number: usize) -> Self {
        Self(Value::IntValue(i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

pub(super) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// Nanoseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}
