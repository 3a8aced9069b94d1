//! Queueing records for Kafka so that none is lost, and none stands in the way for ever: where there
//! is no room it is waited for, what is not known to be there is sent again, and what Kafka will
//! never take goes to `chat-dlq` (I11).

use protocol::DlqReason;
use service::trace::Span;

use super::backoff::{Backoff, Stopped};
use super::burial::undeliverable;
use super::context::Context;
use crate::ports::{Ack, Outgoing, Outside, Publish, PublishError, Sink};

const REFUSED: &str = "refused";

/// A record under way, kept until it is acknowledged.
pub struct Queued {
    record: Outgoing,
    ack: Ack,
    /// From here to its acknowledgement, if it is traced. What is sent again has another.
    span: Option<Span>,
}

/// Queues a record. While there is no room it waits with it, so that records keep their order. None:
/// there is no such home, or not even its dead letter can be sent.
pub async fn queue<O: Outside>(
    context: &Context<O>,
    mut record: Outgoing,
) -> Result<Option<Queued>, Stopped> {
    if let Sink::Home(home) = record.sink
        && !context.has_home(home)
    {
        // Routes are checked where they are read: this is an answer.
        context.metrics.no_such_home("origin");
        tracing::warn!(%home, "an answer was asked for on a home that does not exist");
        return Ok(None);
    }
    let mut backoff = Backoff::default();
    let mut span = context.sends(&record);
    let mut under = record.trace;
    record.trace = span.as_ref().map(Span::context);
    loop {
        let ack = match context.publish.publish(&record) {
            Ok(ack) => ack,
            Err(PublishError::Full) => {
                backoff.wait(&context.stop).await?;
                continue;
            }
            Err(PublishError::Refused(reason)) => match put_aside(context, &record, &reason) {
                Some(letter) => {
                    end(span.take(), Some(REFUSED));
                    (record, under) = (letter, None);
                    continue;
                }
                None => return Ok(None),
            },
            // Whoever waits for it sends it again: the records behind it need not wait.
            Err(error @ PublishError::Unknown(_)) => Box::pin(std::future::ready(Err(error))),
        };
        match record.sink {
            Sink::Home(_) => context.metrics.to_homes.inc(),
            Sink::Broadcast => context.metrics.broadcast.inc(),
            Sink::Push => context.metrics.pushed.inc(),
            Sink::Dlq => {}
        }
        record.trace = under;
        return Ok(Some(Queued { record, ack, span }));
    }
}

/// Queues records, in order.
pub async fn queue_all<O: Outside>(
    context: &Context<O>,
    records: impl IntoIterator<Item = Outgoing, IntoIter: Send> + Send,
) -> Result<Vec<Queued>, Stopped> {
    let mut queued = Vec::new();
    for record in records {
        queued.extend(queue(context, record).await?);
    }
    Ok(queued)
}

/// Waits until all are acknowledged. One that is not is unknown, and is sent again, alone: to the same
/// home, whose reader knows what to do with it as long as a route stands, and after that the session's
/// catch-up finds it (I4). Readers drop what they have seen and read gaps (I5), so the records behind it
/// need not wait.
pub async fn acknowledged<O: Outside>(
    context: &Context<O>,
    mut queued: Vec<Queued>,
) -> Result<(), Stopped> {
    let mut backoff = Backoff::default();
    loop {
        let mut again = Vec::new();
        let mut last = None;
        for Queued { record, ack, span } in queued {
            // Waited for to the last one: what is sent again must not overtake the first attempt.
            match ack.await {
                Ok(()) => end(span, None),
                Err(PublishError::Refused(reason)) => {
                    end(span, Some(REFUSED));
                    again.extend(put_aside(context, &record, &reason));
                }
                Err(error) => {
                    context.metrics.publish_failures.inc();
                    end(span, Some("unacknowledged"));
                    again.push(record);
                    last = Some(error);
                }
            }
        }
        if again.is_empty() {
            return Ok(());
        }
        if let Some(error) = last {
            tracing::warn!(%error, records = again.len(), "records were not acknowledged");
            backoff.wait(&context.stop).await?;
        }
        queued = queue_all(context, again).await?;
    }
}

fn end(span: Option<Span>, failed: Option<&str>) {
    let Some(mut span) = span else { return };
    if let Some(error) = failed {
        span.fail(error);
    }
    span.end();
}

/// What goes to `chat-dlq` for a record that Kafka refuses for good.
fn put_aside<O: Outside>(
    context: &Context<O>,
    record: &Outgoing,
    reason: &str,
) -> Option<Outgoing> {
    tracing::error!(reason, sink = ?record.sink, "a record can't be sent");
    let letter = undeliverable(record);
    if letter.is_some() {
        context.metrics.dead_letter(DlqReason::Undeliverable);
    }
    letter
}
