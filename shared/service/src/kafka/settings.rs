//! How brokers are reached.

use std::fmt;
use std::path::PathBuf;

use rdkafka::ClientConfig;

use super::Topics;
use crate::settings::{Key, Secret, Setting, Values};

/// Whether connections are encrypted and authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// Neither.
    Plaintext,
    /// Encrypted.
    Ssl,
    /// Authenticated, not encrypted.
    SaslPlaintext,
    /// Both.
    SaslSsl,
}

impl SecurityProtocol {
    /// As Kafka writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    const fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    const fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }
}

impl Setting for SecurityProtocol {
    fn parse(text: &str) -> Result<Self, String> {
        [
            Self::Plaintext,
            Self::Ssl,
            Self::SaslPlaintext,
            Self::SaslSsl,
        ]
        .into_iter()
        .find(|protocol| text.eq_ignore_ascii_case(protocol.name()))
        .ok_or_else(|| "expected plaintext, ssl, sasl_plaintext or sasl_ssl".to_owned())
    }
    fn placeholder() -> Self {
        Self::Plaintext
    }
}

/// How a client proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaslMechanism {
    /// The password as it is; only over TLS.
    Plain,
    /// SCRAM with SHA-256.
    ScramSha256,
    /// SCRAM with SHA-512.
    ScramSha512,
}

impl SaslMechanism {
    /// As Kafka writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl Setting for SaslMechanism {
    fn parse(text: &str) -> Result<Self, String> {
        [Self::Plain, Self::ScramSha256, Self::ScramSha512]
            .into_iter()
            .find(|mechanism| text.eq_ignore_ascii_case(mechanism.name()))
            .ok_or_else(|| "expected PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512".to_owned())
    }
    fn placeholder() -> Self {
        Self::ScramSha512
    }
}

/// How brokers are reached, and under which prefix the topics are.
#[derive(Clone)]
pub struct KafkaSettings {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// Before every topic's name and group.
    pub topic_prefix: String,
    /// Encryption and authentication.
    pub protocol: SecurityProtocol,
    /// The mechanism, with SASL.
    pub sasl_mechanism: SaslMechanism,
    /// The user, with SASL.
    pub sasl_username: Option<String>,
    /// The password, with SASL.
    pub sasl_password: Option<Secret>,
    /// Certificates of who may sign the brokers', in PEM; the system's if absent.
    pub ca_file: Option<PathBuf>,
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("topic_prefix", &self.topic_prefix)
            .field("protocol", &self.protocol)
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
    ];

    /// Reads them.
    pub fn read(values: &mut Values) -> Self {
        let settings = Self {
            brokers: values.get("kafka.brokers"),
            topic_prefix: values.text("kafka.topic_prefix"),
            protocol: values.get("kafka.security_protocol"),
            sasl_mechanism: values.get("kafka.sasl_mechanism"),
            sasl_username: values.optional("kafka.sasl_username"),
            sasl_password: values.optional("kafka.sasl_password"),
            ca_file: values.optional("kafka.ca_file"),
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
        if settings.protocol.has_sasl() {
            if settings.sasl_username.is_none() {
                values.mistake("kafka.sasl_username", "must be given with sasl_*");
            }
            if settings.sasl_password.is_none() {
                values.mistake("kafka.sasl_password", "must be given with sasl_*");
            }
        }
        if let Some(file) = settings.ca_file.as_deref().filter(|file| !file.is_file()) {
            values.mistake(
                "kafka.ca_file",
                &format!("there is no file {}", file.display()),
            );
        }
        settings
    }

    /// Brokers that are reached in the clear, as on one machine.
    pub fn plain(brokers: impl Into<String>, topic_prefix: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            topic_prefix: topic_prefix.into(),
            protocol: SecurityProtocol::Plaintext,
            sasl_mechanism: SaslMechanism::ScramSha512,
            sasl_username: None,
            sasl_password: None,
            ca_file: None,
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
            .set("security.protocol", self.protocol.name())
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
        if self.protocol.has_sasl() {
            config.set("sasl.mechanism", self.sasl_mechanism.name());
            if let Some(user) = &self.sasl_username {
                config.set("sasl.username", user);
            }
            if let Some(password) = &self.sasl_password {
                config.set("sasl.password", password.expose());
            }
        }
        if let Some(file) = self.ca_file.as_ref().filter(|_| self.protocol.has_tls()) {
            config.set("ssl.ca.location", file.to_string_lossy());
        }
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
