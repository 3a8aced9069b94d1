//! Where the time of a message goes, told to an OpenTelemetry collector: spans, and the `traceparent` that
//! joins those of several processes, in requests and in headers of records.
//!
//! Off unless `trace.endpoint` is given: then a [`Tracer`] is nothing, and gives no spans. What is on gives
//! spans only of messages that are sampled, which is decided once, where a message enters; whoever reads a
//! record follows its header, and a record without one is not traced. So all others cost a look at an
//! `Option`.
//!
//! Nothing ever waits for the collector: an ended span goes into a bounded queue, or is dropped and counted.
//!
//! Only the messages of OpenTelemetry's own crates are used, not their SDK: that counts no dropped spans
//! where a metric could tell them, and takes settings from variables (`OTEL_…`) that are not ours.

mod context;
mod export;
mod messaging;
mod sending;
mod settings;
mod span;

pub use context::{Context, Given, TRACEPARENT};
pub use export::{TraceError, Traces, Who};
pub use messaging::Reads;
pub use settings::TraceSettings;
pub use span::{Kind, Span};

use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::Span as Message;
use prometheus::IntCounter;
use tokio::sync::mpsc;

/// Begins spans, or does nothing; cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<Arc<Telling>>);

/// Where ended spans go.
#[derive(Debug)]
struct Telling {
    /// The share of messages that begin a trace.
    sample: f64,
    queue: mpsc::Sender<Message>,
    full: IntCounter,
}

impl Tracer {
    /// One that does nothing.
    pub fn off() -> Self {
        Self::default()
    }

    /// Whether it may begin spans.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The first span of what enters here. It is sampled if who sends it says so, not if he says not, and by
    /// chance if he says nothing.
    pub fn enter(
        &self,
        given: Option<Given>,
        kind: Kind,
        name: impl FnOnce() -> String,
    ) -> Option<Span> {
        let telling = self.0.as_ref()?;
        let sampled = match given {
            Some(given) => given.sampled,
            None => rand::random::<f64>() < telling.sample,
        };
        let parent = given.map(|given| given.context);
        sampled.then(|| Span::begin(telling, parent, kind, name()))
    }

    /// A span under another one of this process or of another.
    pub fn follow(
        &self,
        parent: Option<Context>,
        kind: Kind,
        name: impl FnOnce() -> String,
    ) -> Option<Span> {
        let (telling, parent) = (self.0.as_ref()?, parent?);
        Some(Span::begin(telling, Some(parent), kind, name()))
    }
}

impl Telling {
    fn tell(&self, span: Message) {
        // No room, or nobody listens any more: the process ends.
        if self.queue.try_send(span).is_err() {
            self.full.inc();
        }
    }
}
