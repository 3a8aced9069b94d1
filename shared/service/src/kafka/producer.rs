//! Producing: acks=all, idempotent, each record's fate told to who sent it.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError as Native;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Message as _};
use tokio::sync::oneshot;

use super::delivery::Fate;
use super::{
    Delivery, KafkaError, KafkaSettings, Outgoing, Placed, ProduceError, Publish, context,
};

/// What clients, topics and brokers take: 2 MiB a record batch.
pub(super) const MAX_MESSAGE_BYTES: usize = 2 * 1024 * 1024;

/// The largest record: a batch of one, less what surrounds it.
pub const MAX_RECORD_BYTES: usize = MAX_MESSAGE_BYTES - 1024;

/// How long a record waits for others to share a request with. One millisecond is what every hop
/// of a message pays; without it each record is a request of its own.
const LINGER_MS: &str = "1";

/// Records' bytes in memory; more is [`ProduceError::Full`].
const QUEUE_KIB: &str = "65536";

/// A producer; cloning shares it.
#[derive(Clone)]
pub struct Producer(Arc<ThreadedProducer<Fates>>);

struct Fates;

impl ClientContext for Fates {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    fn error(&self, error: Native, reason: &str) {
        context::log_error(&error, reason);
    }
}

impl ProducerContext for Fates {
    type DeliveryOpaque = Box<oneshot::Sender<Fate>>;

    fn delivery(&self, result: &DeliveryResult<'_>, sender: Self::DeliveryOpaque) {
        let fate = match result {
            Ok(message) => Ok(Placed {
                partition: message.partition(),
                offset: message.offset(),
            }),
            Err((error, _)) => Err(ProduceError::from_native(error)),
        };
        // Who does not wait does not want to know.
        let _ = sender.send(fate);
    }
}

impl Producer {
    /// Starts a producer whose records are given up after `message_timeout` (trap 11: never
    /// librdkafka's five minutes). Its first record takes up to a second unless the producer was
    /// started well before: start it with the process.
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
            .set("queue.buffering.max.kbytes", QUEUE_KIB)
            .set("queue.buffering.max.messages", "200000");
        config
            .create_with_context(Fates)
            .map(|producer| Self(Arc::new(producer)))
            .map_err(|error| KafkaError::Client(error.to_string()))
    }

    /// Takes a record; its fate is the [`Delivery`]'s. Never blocks.
    pub fn send(&self, record: &Outgoing) -> Result<Delivery, ProduceError> {
        if record.size() > MAX_RECORD_BYTES {
            return Err(ProduceError::TooLarge);
        }
        let (sender, delivery) = Delivery::pair();
        let mut native: BaseRecord<'_, [u8], [u8], _> =
            BaseRecord::with_opaque_to(&record.topic, Box::new(sender));
        native.partition = record.partition;
        native.key = record.key.as_deref();
        native.payload = record.payload.as_deref();
        native.headers = record.native_headers();
        match self.0.send(native) {
            Ok(()) => Ok(delivery),
            Err((error, _)) => Err(ProduceError::from_native(&error)),
        }
    }

    /// Waits until every record has its fate, for at most `timeout`; false if some have none.
    /// To be called before the last clone is dropped: dropping gives up what is queued.
    pub async fn flush(&self, timeout: Duration) -> bool {
        let producer = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || producer.flush(timeout).is_ok())
            .await
            .unwrap_or(false)
    }
}

impl Publish for Producer {
    fn publish(&self, record: &Outgoing) -> Result<Delivery, ProduceError> {
        self.send(record)
    }
}
