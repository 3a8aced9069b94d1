//! Producing: acks=all, idempotent, each record's fate told to who sent it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, Producer as _};

use super::fates::Fates;
use super::gate::{Gate, MOST_BYTES, MOST_RECORDS};
use super::{Delivery, KafkaError, KafkaSettings, Outgoing, ProduceError, Publish};
use crate::metrics::Metrics;

/// What clients, topics and brokers take: 2 MiB a record batch.
pub(super) const MAX_MESSAGE_BYTES: usize = 2 * 1024 * 1024;

/// The largest record: a batch of one, less what surrounds it.
pub const MAX_RECORD_BYTES: usize = MAX_MESSAGE_BYTES - 1024;

/// How long a record waits for others to share a request with. One millisecond is what every hop
/// of a message pays; without it each record is a request of its own. The gate counts on it.
const LINGER_MS: &str = "1";

/// Between two looks at whether to go on, and at what has waited too long.
const TICK: Duration = Duration::from_millis(100);

/// A producer; cloning shares it.
#[derive(Clone)]
pub struct Producer(Arc<Shared>);

struct Shared {
    native: Arc<BaseProducer<Fates>>,
    stop: Arc<AtomicBool>,
    polls: Option<JoinHandle<()>>,
}

impl Producer {
    /// Starts a producer whose records are given up after `message_timeout` (trap 11: never
    /// librdkafka's five minutes), or twice that for one that had to wait for others of its partition.
    /// Its first record takes up to a second unless the producer was started well before: start it with
    /// the process.
    pub fn start(
        settings: &KafkaSettings,
        name: &str,
        message_timeout: Duration,
    ) -> Result<Self, KafkaError> {
        let mut config = settings.client(name);
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", LINGER_MS)
            .set(
                "message.timeout.ms",
                message_timeout.as_millis().to_string(),
            )
            .set("message.max.bytes", MAX_MESSAGE_BYTES.to_string())
            // The gate's bounds come first: a record that it has taken is not refused later.
            .set(
                "queue.buffering.max.kbytes",
                (MOST_BYTES / 1024 * 2).to_string(),
            )
            .set(
                "queue.buffering.max.messages",
                (MOST_RECORDS * 2).to_string(),
            );
        let client = |error: &dyn std::error::Error| KafkaError::Client(error.to_string());
        let native: BaseProducer<Fates> = config
            .create_with_context(Fates::new(message_timeout, &settings.brokers))
            .map_err(|error| client(&error))?;
        let native = Arc::new(native);
        native.context().connect(&native);
        let stop = Arc::new(AtomicBool::new(false));
        let polls = poll(name, &native, &stop).map_err(|error| client(&error))?;
        Ok(Self(Arc::new(Shared {
            native,
            stop,
            polls: Some(polls),
        })))
    }

    /// Takes a record; its fate is the [`Delivery`]'s. Never blocks.
    pub fn send(&self, record: &Outgoing) -> Result<Delivery, ProduceError> {
        if record.size() > MAX_RECORD_BYTES {
            return Err(ProduceError::TooLarge);
        }
        let native = &*self.0.native;
        self.0.gate().send(record, Instant::now(), native)
    }

    /// Adds `kafka_producer_queue_records` and `kafka_producer_queue_bytes`: what has no fate yet,
    /// wherever it is. For one producer of a process, which lives as long as its metrics.
    pub fn measure(&self, metrics: &Metrics) {
        let shared = Arc::downgrade(&self.0);
        metrics.figures(
            [
                (
                    "kafka_producer_queue_records",
                    "Records that Kafka has not acknowledged yet.",
                ),
                ("kafka_producer_queue_bytes", "Bytes of these records."),
            ],
            move || {
                let held = shared.upgrade().map(|shared| {
                    let gate = shared.gate();
                    [gate.in_flight(), gate.bytes_in_flight()]
                });
                held.unwrap_or_default().map(|count| count as f64)
            },
        );
    }

    /// Waits until every record has its fate, for at most `timeout`; false if some have none.
    /// To be called before the last clone is dropped: dropping gives up what is queued.
    pub async fn flush(&self, timeout: Duration) -> bool {
        let shared = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || shared.flush(timeout))
            .await
            .unwrap_or(false)
    }
}

impl Publish for Producer {
    fn publish(&self, record: &Outgoing) -> Result<Delivery, ProduceError> {
        self.send(record)
    }
}

impl Shared {
    fn gate(&self) -> &Gate {
        self.native.context().gate()
    }

    /// librdkafka knows only what it was given: whatever waits follows with the answers.
    fn flush(&self, timeout: Duration) -> bool {
        let until = Instant::now() + timeout;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // Its error is that the time is over: what counts is what is still under way.
            let _ = self.native.flush(left);
            if self.gate().in_flight() == 0 {
                return true;
            }
            if left.is_zero() {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let gone = ProduceError::Other("the producer is gone".to_owned());
        self.gate().fail(&gone);
        self.stop.store(true, Ordering::Relaxed);
        // The last clone may be dropped by whom a fate has woken: a thread can't wait for itself.
        let polls = self.polls.take();
        let polls = polls.filter(|polls| polls.thread().id() != thread::current().id());
        if let Some(Err(_)) = polls.map(JoinHandle::join) {
            tracing::warn!("the producer's thread had panicked");
        }
    }
}

/// librdkafka calls back from whoever polls it. A thread of our own, as what it holds of the producer
/// is then known.
fn poll(
    name: &str,
    native: &Arc<BaseProducer<Fates>>,
    stop: &Arc<AtomicBool>,
) -> std::io::Result<JoinHandle<()>> {
    let (native, stop) = (Arc::clone(native), Arc::clone(stop));
    let polls = move || {
        while !stop.load(Ordering::Relaxed) {
            native.poll(TICK);
            native.context().gate().tick(Instant::now(), &*native);
            native.context().regain().look(native.client());
        }
    };
    thread::Builder::new()
        .name(format!("producer-{name}"))
        .spawn(polls)
}
