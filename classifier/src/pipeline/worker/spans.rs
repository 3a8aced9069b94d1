//! What is traced of a batch. Nothing is allocated for one of which nothing is.

use service::trace::{Kind, Span};
use store::AppendError;

use crate::pipeline::decide;
use crate::pipeline::record::Received;
use crate::pipeline::route::Traced;

/// An append begins: a span under that of each record.
pub(super) fn appends(records: &[Received]) -> Vec<Span> {
    let spans = records.iter().filter_map(|record| record.span.as_ref());
    spans
        .map(|span| span.child(Kind::Client, "append"))
        .collect()
}

/// It has ended, of so many records.
pub(super) fn appended(spans: Vec<Span>, records: usize, result: &Result<(), AppendError>) {
    for mut span in spans {
        span.note("db.system.name", "postgresql");
        span.note("db.operation.name", "append");
        span.note("db.operation.batch.size", records);
        if let Err(error) = result {
            span.fail(error.label());
        }
        span.end();
    }
}

/// The spans of records that are decided and stored, on their way with what follows.
pub(super) fn traced(decided: Vec<decide::Traced>, records: &mut [Received]) -> Vec<Traced> {
    let spans = decided.into_iter().filter_map(|one| {
        let mut span = records.get_mut(one.record)?.span.take()?;
        span.note("switchboard.outcome", one.outcome);
        let steps = one.steps;
        Some(Traced { steps, span })
    });
    spans.collect()
}
