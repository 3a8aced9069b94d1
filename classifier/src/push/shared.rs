//! What readers and the sender share: how records are ended, buried, and sent.

use protocol::{DlqReason, Lane};
use service::kafka::{Incoming, Topics};
use service::trace::{Reads, Span};
use tokio_util::sync::CancellationToken;

use super::done::Partition;
use super::metrics::PushMetrics;
use crate::pipeline::backoff::{Backoff, Stopped};
use crate::pipeline::burial::burial;
use crate::ports::{self, Outgoing, Publish, PublishError};

/// What readers and the sender share.
pub(super) struct Shared<P> {
    pub(super) publish: P,
    pub(super) topics: Topics,
    pub(super) reads: Reads,
    pub(super) metrics: PushMetrics,
}

impl<P: Publish> Shared<P> {
    /// A record is done, and with it its span, if it is traced.
    pub(super) fn end(
        &self,
        partition: &Partition,
        offset: i64,
        outcome: &str,
        span: Option<Span>,
    ) {
        self.metrics.ended(outcome);
        partition.end(offset);
        if let Some(mut span) = span {
            span.note("switchboard.outcome", outcome);
            span.end();
        }
    }

    /// Puts a record into `chat-dlq`, and returns when it is there.
    pub(super) async fn bury(
        &self,
        partition: &Partition,
        raw: &Incoming,
        reason: DlqReason,
    ) -> Result<(), Stopped> {
        let raw = ports::Incoming {
            offset: raw.offset,
            key: raw.key.clone(),
            payload: raw.payload.clone(),
            trace: None,
        };
        let letter = burial(self.topics.push(), Lane(partition.number), &raw, reason);
        self.send(vec![letter], &partition.over).await
    }

    /// Sends records, and returns when Kafka has all of them.
    pub(super) async fn send(
        &self,
        mut records: Vec<Outgoing>,
        over: &CancellationToken,
    ) -> Result<(), Stopped> {
        let mut backoff = Backoff::default();
        loop {
            // All are queued before the first is waited for.
            let queued: Vec<_> = records
                .iter()
                .map(|record| self.publish.publish(record))
                .collect();
            let mut again = Vec::new();
            for (record, queued) in records.into_iter().zip(queued) {
                let sent = match queued {
                    Ok(ack) => ack.await,
                    Err(error) => Err(error),
                };
                match sent {
                    Ok(()) => {}
                    Err(PublishError::Refused(why)) => {
                        // It can't be told and it can't be kept; the next one can.
                        tracing::error!(why, sink = ?record.sink, "a record of a push is lost");
                    }
                    Err(error) => {
                        self.metrics.publish_failures.inc();
                        tracing::warn!(%error, sink = ?record.sink, "a record was not acknowledged");
                        again.push(record);
                    }
                }
            }
            if again.is_empty() {
                return Ok(());
            }
            records = again;
            backoff.wait(over).await?;
        }
    }
}
