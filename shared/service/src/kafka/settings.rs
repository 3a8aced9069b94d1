//! How brokers are reached.

use std::fmt;

use rdkafka::ClientConfig;

use super::{Security, Topics};
use crate::settings::{Key, Values};

/// How brokers are reached, and under which prefix the topics are.
#[derive(Clone)]
pub struct KafkaSettings {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// Before every topic's name and group.
    pub topic_prefix: String,
    /// Encryption and authentication.
    pub security: Security,
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("topic_prefix", &self.topic_prefix)
            .field("protocol", &self.security.protocol())
            .finish_non_exhaustive()
    }
}

impl KafkaSettings {
    /// Its keys.
    pub const KEYS: &[Key] = &[
        Key::bare(
            "kafka.brokers",
            "brokers to begin with: host:port, separated by commas",
        ),
        Key::new(
            "kafka.topic_prefix",
            "",
            "before the name of every topic and group",
        ),
        Key::new(
            "kafka.security_protocol",
            "plaintext",
            "plaintext, ssl, sasl_plaintext or sasl_ssl",
        ),
        Key::new(
            "kafka.sasl_mechanism",
            "SCRAM-SHA-512",
            "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
        ),
        Key::bare("kafka.sasl_username", "user, with sasl_*"),
        Key::secret("kafka.sasl_password", "password, with sasl_*"),
        Key::bare(
            "kafka.ca_file",
            "PEM file of who may sign the brokers' certificates; absent: the system's",
        ),
        Key::bare(
            "kafka.certificate_file",
            "PEM file of the client's own certificate, for brokers that demand one",
        ),
        Key::bare("kafka.key_file", "PEM file of that certificate's key"),
    ];

    /// Reads them.
    pub fn read(values: &mut Values) -> Self {
        let settings = Self {
            brokers: values.get("kafka.brokers"),
            topic_prefix: values.text("kafka.topic_prefix"),
            security: Security::read(values),
        };
        if !settings.brokers.is_empty() && !settings.brokers.split(',').all(is_broker) {
            values.mistake("kafka.brokers", "expected host:port, separated by commas");
        }
        if !settings.topic_prefix.bytes().all(is_topic_byte) {
            values.mistake(
                "kafka.topic_prefix",
                "topics are named with letters, digits, '.', '_' and '-'",
            );
        }
        settings
    }

    /// Brokers that are reached in the clear, as on one machine.
    pub fn plain(brokers: impl Into<String>, topic_prefix: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            topic_prefix: topic_prefix.into(),
            security: Security::default(),
        }
    }

    /// The topics under the prefix.
    pub fn topics(&self) -> Topics {
        Topics::new(&self.topic_prefix)
    }

    /// What all clients share.
    pub(super) fn client(&self, name: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", name)
            // A broker that comes back is found within a second, not ten.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            // Nobody tells that a partition has another leader: who wants to know asks. By default that
            // is once a second while the old leader is not there. After a broker's death readers
            // were then up to 1.2 s behind what was acknowledged, and are not with this.
            .set("topic.metadata.refresh.interval.ms", "500")
            .set("retry.backoff.max.ms", "250")
            // A broker that hangs is given up before the default minute.
            .set("socket.timeout.ms", "10000")
            .set("socket.connection.setup.timeout.ms", "5000")
            .set("socket.nagle.disable", "true");
        self.security.configure(&mut config);
        config
    }
}

fn is_broker(broker: &str) -> bool {
    broker
        .trim()
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

fn is_topic_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}
