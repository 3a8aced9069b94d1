//! From the queue of ended spans to the collector, in batches.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::Span as Message;
use prometheus::IntCounter;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::sending::{Failed, Sending};
use super::{Telling, TraceSettings, Tracer};
use crate::metrics::Metrics;

/// Ended spans that wait; one more is dropped. Some 1 KB each.
const QUEUE: usize = 2_048;
/// Spans in one request.
const BATCH: usize = 512;
/// How long the first span of a batch waits for others.
const GATHER: Duration = Duration::from_secs(1);
/// The pauses between tries of one batch; then it is dropped.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
/// How long the last spans may take when the process ends.
const FINISH_WITHIN: Duration = Duration::from_secs(2);
/// Between two warnings.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Why traces can't be told.
#[derive(Debug, thiserror::Error)]
#[error("requests to trace.endpoint can't be made")]
pub struct TraceError(#[from] reqwest::Error);

/// Who tells: attributes of all its spans.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    /// `service.name`.
    pub service: &'static str,
    /// `service.instance.id`.
    pub instance: &'a str,
}

/// What tells spans while the process runs. No task of the [`lifecycle`](crate::lifecycle): whatever becomes
/// of it, the service goes on.
#[derive(Debug)]
pub struct Traces {
    tracer: Tracer,
    task: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Traces {
    /// Begins, if the settings say so. Nothing is sent before a span has ended.
    ///
    /// # Errors
    /// When TLS can't be set up on this machine.
    pub fn start(
        settings: &TraceSettings,
        who: Who<'_>,
        metrics: &Metrics,
    ) -> Result<Self, TraceError> {
        let exported = metrics.counter(
            "trace_spans_exported_total",
            "Spans that the collector has taken.",
        );
        let dropped = metrics.counters(
            "trace_spans_dropped_total",
            "Spans that the collector never got.",
            "reason",
            &["full", "unreachable", "refused"],
        );
        let Some(sending) = Sending::new(settings, who)? else {
            return Ok(Self {
                tracer: Tracer::off(),
                task: None,
            });
        };
        let (queue, from) = mpsc::channel(QUEUE);
        let dropped = |reason| dropped.with_label_values(&[reason]);
        let tracer = Tracer(Some(Arc::new(Telling {
            sample: settings.sample,
            queue,
            full: dropped("full"),
        })));
        let stop = CancellationToken::new();
        let export = Export {
            sending,
            exported,
            unreachable: dropped("unreachable"),
            refused: dropped("refused"),
            stop: stop.clone(),
            warned: None,
        };
        let task = tokio::spawn(export.run(from));
        Ok(Self {
            tracer,
            task: Some((stop, task)),
        })
    }

    /// What begins spans.
    pub fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// Tells what has ended, for two seconds at most. To be called when no span ends any more.
    pub async fn finish(self) {
        let Some((stop, task)) = self.task else {
            return;
        };
        stop.cancel();
        if tokio::time::timeout(FINISH_WITHIN, task).await.is_err() {
            tracing::warn!("the last spans were not told in time");
        }
    }
}

struct Export {
    sending: Sending,
    exported: IntCounter,
    unreachable: IntCounter,
    refused: IntCounter,
    stop: CancellationToken,
    warned: Option<Instant>,
}

impl Export {
    async fn run(mut self, mut from: mpsc::Receiver<Message>) {
        let mut batch = Vec::with_capacity(BATCH);
        while gather(&mut from, &mut batch, &self.stop).await {
            self.tell(std::mem::take(&mut batch)).await;
        }
    }

    /// Tells a batch, or drops it after some tries; while the process ends there is one.
    async fn tell(&mut self, batch: Vec<Message>) {
        let (spans, body) = (batch.len() as u64, self.sending.body(batch));
        let mut pauses = PAUSES.into_iter();
        let failed = loop {
            let failed = match self.sending.post(&body).await {
                Ok(()) => return self.exported.inc_by(spans),
                Err(failed) => failed,
            };
            let Some(pause) = pauses.next().filter(|_| failed.passes) else {
                break failed;
            };
            let stopped = tokio::time::timeout(pause, self.stop.cancelled()).await;
            if stopped.is_ok() {
                break failed;
            }
        };
        match failed.passes {
            true => self.unreachable.inc_by(spans),
            false => self.refused.inc_by(spans),
        }
        self.warn(&failed, spans);
    }

    fn warn(&mut self, Failed { why, .. }: &Failed, spans: u64) {
        if self.warned.is_none_or(|last| last.elapsed() >= WARN_EVERY) {
            self.warned = Some(Instant::now());
            tracing::warn!(
                why,
                spans,
                "spans are dropped: the collector of trace.endpoint does not take them (told once a minute)"
            );
        }
    }
}

/// The next batch; false when there is none any more.
async fn gather(
    from: &mut mpsc::Receiver<Message>,
    batch: &mut Vec<Message>,
    stop: &CancellationToken,
) -> bool {
    tokio::select! {
        first = from.recv() => batch.extend(first),
        () = stop.cancelled() => {}
    }
    let until = Instant::now() + GATHER;
    while batch.len() < BATCH {
        let more = from.recv_many(batch, BATCH - batch.len());
        tokio::select! {
            biased;
            found = more => if found == 0 { break },
            () = stop.cancelled() => break,
            () = tokio::time::sleep_until(until) => break,
        }
    }
    !batch.is_empty()
}
