//! Commands and signals on their way into Kafka.

use std::sync::Arc;

use bytes::Bytes;
use protocol::{Command, SignalRecord};
use service::kafka::{Delivery, Outgoing, ProduceError, Producer, Topics};
use service::trace::{Span, TRACEPARENT};
use tokio_util::sync::CancellationToken;

use crate::metrics::Observed;

/// Produces to `chat-send` and `chat-signal`, and sends what gateways tell each other.
#[derive(Clone)]
pub struct Commands {
    producer: Producer,
    topics: Topics,
    observed: Arc<Observed>,
    /// Cancelled when the producer failed for good: the process ends.
    fatal: CancellationToken,
}

/// A command on its way into Kafka.
pub struct Sending {
    delivery: Delivery,
    span: Option<Span>,
}

impl Commands {
    /// With a producer that gives up after at most 5 s (trap 11).
    pub fn new(
        producer: Producer,
        topics: Topics,
        observed: Arc<Observed>,
        fatal: CancellationToken,
    ) -> Self {
        Self {
            producer,
            topics,
            observed,
            fatal,
        }
    }

    /// Hands a command to Kafka; await the fate with [`settle`](Self::settle). If it is traced, `under` this
    /// span, the record's header says so: no other record has one.
    pub fn produce(&self, command: &Command, under: Option<&Span>) -> Option<Sending> {
        let mut span = under.map(|span| span.sends(self.topics.send()));
        let header = span
            .iter()
            .map(|span| (TRACEPARENT, span.context().write()));
        let record = Outgoing {
            key: Some(Bytes::from(command.key())),
            payload: Some(Bytes::from(command.encode())),
            headers: header.collect(),
            ..Outgoing::to(self.topics.send())
        };
        let taken = self.producer.send(&record);
        if let Err(error) = &taken
            && let Some(span) = span.take()
        {
            span.sent(Err(error));
        }
        let delivery = self.judge(taken)?;
        Some(Sending { delivery, span })
    }

    /// Whether Kafka has the command: true is durable (I1), false is unknown.
    pub async fn settle(&self, Sending { delivery, span }: Sending) -> bool {
        let timer = self.observed.produce_seconds.start_timer();
        let fate = delivery.await;
        timer.observe_duration();
        if let Some(span) = span {
            span.sent(fate.as_ref().copied());
        }
        let taken = self.judge(fate).is_some();
        if taken {
            self.observed.accepted.inc();
        }
        taken
    }

    /// Hands a signal to Kafka; nobody waits for its fate.
    pub fn signal(&self, signal: &SignalRecord) {
        let record = Outgoing {
            key: Some(Bytes::from(signal.room.to_string())),
            payload: serde_json::to_vec(signal).ok().map(Bytes::from),
            ..Outgoing::to(self.topics.signal())
        };
        self.judge(self.producer.send(&record));
    }

    /// Hands a record for a session on another home to Kafka; nobody waits for its fate.
    pub fn to_home(&self, record: Outgoing) {
        let record = Outgoing {
            topic: Arc::clone(self.topics.receive()),
            ..record
        };
        self.judge(self.producer.send(&record));
    }

    /// The topics' names.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    fn judge<T>(&self, result: Result<T, ProduceError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                if matches!(error, ProduceError::Fatal(_)) {
                    self.fatal.cancel();
                }
                tracing::debug!(%error, "not produced");
                None
            }
        }
    }
}
