//! What librdkafka calls back, and how it is given records.

use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as Native, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, ProducerContext};
use rdkafka::{ClientContext, Message as _};

use super::gate::{Gate, Onward, Ticket};
use super::regain::Regain;
use super::{Outgoing, Placed, ProduceError, context};

/// Tells fates to the gate, which hands records to librdkafka, which calls this: a circle, so one part
/// of it is weak.
pub(super) struct Fates {
    gate: Gate,
    regain: Regain,
    native: OnceLock<Weak<BaseProducer<Fates>>>,
}

impl Fates {
    /// For a producer to these brokers, whose records wait for at most `patience` before they are handed over.
    pub(super) fn new(patience: Duration, brokers: &str) -> Self {
        Self {
            gate: Gate::new(patience),
            regain: Regain::new(brokers),
            native: OnceLock::new(),
        }
    }

    /// Says whom what waits is handed to: the first one said, as a producer has one of these.
    pub(super) fn connect(&self, native: &Arc<BaseProducer<Self>>) {
        let _ = self.native.set(Arc::downgrade(native));
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(super) fn regain(&self) -> &Regain {
        &self.regain
    }
}

impl ClientContext for Fates {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    fn error(&self, error: Native, reason: &str) {
        self.regain.hear(&error);
        // Which setting is to blame stands in the log now.
        let _ = context::log_error(&error, reason);
        if error.rdkafka_error_code() == Some(Code::Fatal) {
            self.gate.fail(&ProduceError::Fatal(reason.to_owned()));
        }
    }
}

impl ProducerContext for Fates {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Self::DeliveryOpaque) {
        let fate = match result {
            Ok(message) => Ok(Placed {
                partition: message.partition(),
                offset: message.offset(),
            }),
            Err((error, _)) => {
                self.regain.doubt();
                Err(ProduceError::from_native(error))
            }
        };
        // Never the last one that is left: who polls has another. While the producer is dropped there
        // is none, and nothing waits.
        let native = || self.native.get()?.upgrade();
        self.gate.tell(*ticket, fate, Instant::now(), native);
    }
}

impl Onward for BaseProducer<Fates> {
    fn hand_over(
        &self,
        record: &Outgoing,
        ticket: Box<Ticket>,
    ) -> Result<(), (ProduceError, Box<Ticket>)> {
        let mut native: BaseRecord<'_, [u8], [u8], _> =
            BaseRecord::with_opaque_to(&record.topic, ticket);
        native.partition = record.partition;
        native.key = record.key.as_deref();
        native.payload = record.payload.as_deref();
        native.headers = record.native_headers();
        self.send(native).map_err(|(error, refused)| {
            let error = ProduceError::from_native(&error);
            (error, refused.delivery_opaque)
        })
    }
}
