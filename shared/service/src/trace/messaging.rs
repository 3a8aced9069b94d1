//! Spans of records, as OpenTelemetry's conventions for messaging and Kafka name them.

use std::sync::Arc;

use super::{Context, Kind, Span, Tracer};
use crate::kafka::{Incoming, Placed, ProduceError};

/// Begins the spans of one topic's records that are processed here.
#[derive(Debug, Clone)]
pub struct Reads {
    tracer: Tracer,
    topic: Arc<str>,
}

impl Reads {
    /// Of the records of this topic.
    pub fn new(tracer: &Tracer, topic: &Arc<str>) -> Self {
        Self {
            tracer: tracer.clone(),
            topic: Arc::clone(topic),
        }
    }

    /// A record is processed, under the span that its header names, if it has one.
    pub fn begin(&self, record: &Incoming) -> Option<Span> {
        if !self.tracer.is_on() {
            return None;
        }
        let at = (record.partition, record.offset);
        self.tracer.processes(Context::of(record), &self.topic, at)
    }
}

impl Tracer {
    /// A record is sent; its header is to say [`Span::context`].
    pub fn sends(&self, parent: Option<Context>, topic: &str) -> Option<Span> {
        let mut span = self.follow(parent, Kind::Producer, || format!("send {topic}"))?;
        span.of_kafka("send", topic);
        Some(span)
    }

    /// A record is processed, under the span that sent it.
    pub fn processes(
        &self,
        parent: Option<Context>,
        topic: &str,
        (partition, offset): (i32, i64),
    ) -> Option<Span> {
        let mut span = self.follow(parent, Kind::Consumer, || format!("process {topic}"))?;
        span.of_kafka("process", topic);
        span.placed(Placed { partition, offset });
        Some(span)
    }
}

impl Span {
    /// A record is sent under this span; its header is to say the new one's [`context`](Self::context).
    pub fn sends(&self, topic: &str) -> Self {
        let mut span = self.child(Kind::Producer, format!("send {topic}"));
        span.of_kafka("send", topic);
        span
    }

    fn of_kafka(&mut self, operation: &str, topic: &str) {
        self.note("messaging.system", "kafka");
        self.note("messaging.operation.name", operation);
        self.note("messaging.operation.type", operation);
        self.note("messaging.destination.name", topic);
    }

    fn placed(&mut self, Placed { partition, offset }: Placed) {
        self.note("messaging.destination.partition.id", partition.to_string());
        self.note("messaging.kafka.offset", offset);
    }

    /// The record is there, or is not known to be.
    pub fn sent(mut self, fate: Result<Placed, &ProduceError>) {
        match fate {
            Ok(placed) => self.placed(placed),
            Err(error) => self.fail(error.label()),
        }
        self.end();
    }
}
