//! What librdkafka has to say, into our logs.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError as Native;

use super::regain::Regain;
use super::trouble::{self, Blame, Troubles};

/// Logs of a client without deliveries, why it is not let in, and whether it has lost its brokers.
pub(super) struct Logging {
    troubles: Troubles,
    regain: Regain,
}

impl Logging {
    /// For a client of these brokers.
    pub(super) fn new(brokers: &str) -> Self {
        Self {
            troubles: Troubles::default(),
            regain: Regain::new(brokers),
        }
    }

    pub(super) fn regain(&self) -> &Regain {
        &self.regain
    }

    pub(super) fn troubles(&self) -> &Troubles {
        &self.troubles
    }
}

impl ClientContext for Logging {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: Native, reason: &str) {
        self.regain.hear(&error);
        if let Some(blame) = log_error(&error, reason) {
            self.troubles.hear(blame, reason);
        }
    }
}

impl ConsumerContext for Logging {}

pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => tracing::warn!(facility, "librdkafka: {message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(facility, "librdkafka: {message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(facility, "librdkafka: {message}"),
    }
}

/// Whom to blame, if a setting is.
pub(super) fn log_error(error: &Native, reason: &str) -> Option<Blame> {
    let blame = trouble::blame(error.rdkafka_error_code(), reason);
    match blame {
        Some(Blame { setting, advice }) => {
            tracing::warn!(%error, reason, setting, advice, "the brokers do not let this client in");
        }
        // Lost connections are librdkafka's to mend; what matters fails the call that needed them.
        None => tracing::warn!(%error, reason, "librdkafka"),
    }
    blame
}
