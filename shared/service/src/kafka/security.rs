//! How brokers and clients prove to each other who they are, as settings say it.

use std::path::PathBuf;

use rdkafka::ClientConfig;

use super::pem::{self, Holds};
use crate::settings::{Secret, Setting, Values};

const PROTOCOL: &str = "kafka.security_protocol";
const MECHANISM: &str = "kafka.sasl_mechanism";
const USERNAME: &str = "kafka.sasl_username";
const PASSWORD: &str = "kafka.sasl_password";
const CA_FILE: &str = "kafka.ca_file";
const CERTIFICATE_FILE: &str = "kafka.certificate_file";
const KEY_FILE: &str = "kafka.key_file";

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

/// A client's name and what proves it (SASL).
#[derive(Clone)]
pub struct Login {
    /// How it is proved.
    pub mechanism: SaslMechanism,
    /// The user.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// Encrypted connections.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Certificates of who may sign the brokers', in PEM; the system's if absent.
    pub ca_file: Option<PathBuf>,
    /// The client's own certificate, for brokers that demand one.
    pub identity: Option<Identity>,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate in PEM, with those between it and the authority, if there are any.
    pub certificate_file: PathBuf,
    /// Its key in PEM, not encrypted.
    pub key_file: PathBuf,
}

/// What is asked of connections: by default nothing.
#[derive(Clone, Default)]
pub struct Security {
    /// As whom the client logs in (SASL), if it does.
    pub login: Option<Login>,
    /// How connections are encrypted, if they are.
    pub tls: Option<Tls>,
}

/// What the settings say, each by itself.
struct Given {
    protocol: SecurityProtocol,
    mechanism: SaslMechanism,
    username: Option<String>,
    password: Option<Secret>,
    ca_file: Option<PathBuf>,
    certificate_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
}

/// A setting and what is wrong with it.
type Wrong = (&'static str, String);

impl Security {
    /// Reads it, and has the files loaded once, as clients will: a key of another certificate is a mistake
    /// like any other.
    pub(super) fn read(values: &mut Values) -> Self {
        let given = Given {
            protocol: values.get(PROTOCOL),
            mechanism: values.get(MECHANISM),
            username: values.optional(USERNAME),
            password: values.optional(PASSWORD),
            ca_file: values.optional(CA_FILE),
            certificate_file: values.optional(CERTIFICATE_FILE),
            key_file: values.optional(KEY_FILE),
        };
        let mut wrong = given.contradictions();
        wrong.extend(given.unusable_files());
        let security = given.security();
        if wrong.is_empty() {
            wrong.extend(security.tls.as_ref().and_then(|tls| pem::load(tls).err()));
        }
        for (name, message) in wrong {
            values.mistake(name, &message);
        }
        security
    }

    /// What Kafka calls it.
    pub fn protocol(&self) -> SecurityProtocol {
        match (&self.login, &self.tls) {
            (None, None) => SecurityProtocol::Plaintext,
            (None, Some(_)) => SecurityProtocol::Ssl,
            (Some(_), None) => SecurityProtocol::SaslPlaintext,
            (Some(_), Some(_)) => SecurityProtocol::SaslSsl,
        }
    }

    /// Tells it to a client of librdkafka's.
    pub(super) fn configure(&self, config: &mut ClientConfig) {
        config.set("security.protocol", self.protocol().name());
        if let Some(login) = &self.login {
            config
                .set("sasl.mechanism", login.mechanism.name())
                .set("sasl.username", &login.username)
                .set("sasl.password", login.password.expose());
        }
        if let Some(tls) = &self.tls {
            pem::configure(config, tls);
        }
    }
}

impl Given {
    /// What does not fit together: something that would be left out silently is a mistake, as whoever gave it counts on it.
    fn contradictions(&self) -> Vec<Wrong> {
        let mut wrong: Vec<Wrong> = Vec::new();
        let mut is_wrong = |name, message: &str| wrong.push((name, message.to_owned()));
        let (has_sasl, has_tls) = (self.protocol.has_sasl(), self.protocol.has_tls());
        for (name, given) in [
            (USERNAME, self.username.is_some()),
            (PASSWORD, self.password.is_some()),
        ] {
            match (has_sasl, given) {
                (true, false) => is_wrong(
                    name,
                    "must be given with kafka.security_protocol = sasl_ssl or sasl_plaintext",
                ),
                (false, true) => is_wrong(
                    name,
                    "is used only with kafka.security_protocol = sasl_ssl or sasl_plaintext: set that, or leave this out",
                ),
                _ => {}
            }
        }
        if has_sasl && !has_tls && self.mechanism == SaslMechanism::Plain {
            is_wrong(
                MECHANISM,
                "sends the password as it is: set kafka.security_protocol = sasl_ssl, or choose SCRAM-SHA-512",
            );
        }
        for (name, given) in [
            (CA_FILE, &self.ca_file),
            (CERTIFICATE_FILE, &self.certificate_file),
            (KEY_FILE, &self.key_file),
        ] {
            if given.is_some() && !has_tls {
                is_wrong(
                    name,
                    "is used only with kafka.security_protocol = ssl or sasl_ssl: set that, or leave this out",
                );
            }
        }
        match (&self.certificate_file, &self.key_file) {
            (Some(_), None) => is_wrong(
                KEY_FILE,
                "must be given with kafka.certificate_file: the key of that certificate",
            ),
            (None, Some(_)) => is_wrong(
                CERTIFICATE_FILE,
                "must be given with kafka.key_file: the certificate of that key",
            ),
            _ => {}
        }
        wrong
    }

    fn unusable_files(&self) -> impl Iterator<Item = Wrong> {
        [
            (CA_FILE, &self.ca_file, Holds::Certificates),
            (
                CERTIFICATE_FILE,
                &self.certificate_file,
                Holds::Certificates,
            ),
            (KEY_FILE, &self.key_file, Holds::Key),
        ]
        .into_iter()
        .filter_map(|(name, file, holds)| Some((name, pem::check(file.as_deref()?, holds).err()?)))
    }

    fn security(self) -> Security {
        let login = self.username.zip(self.password);
        let identity = self.certificate_file.zip(self.key_file);
        Security {
            login: login
                .filter(|_| self.protocol.has_sasl())
                .map(|(username, password)| Login {
                    mechanism: self.mechanism,
                    username,
                    password,
                }),
            tls: self.protocol.has_tls().then(|| Tls {
                ca_file: self.ca_file,
                identity: identity.map(|(certificate_file, key_file)| Identity {
                    certificate_file,
                    key_file,
                }),
            }),
        }
    }
}
