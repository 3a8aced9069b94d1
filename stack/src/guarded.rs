//! The ways to Kafka that want proof.

use service::{
    kafka::{Identity, KafkaSettings, Login, SaslMechanism, Security, Tls},
    settings::Secret,
};

use crate::{
    certificates::Certificates,
    servers::kafka::guarded::{PASSWORD, USER},
    space::Space,
    stack::GuardedKafka,
};

impl Space {
    /// Kafka by a password over TLS.
    ///
    /// # Panics
    /// When the stack was started without [`crate::Options::guarded_kafka`].
    #[must_use]
    pub fn kafka_by_password(&self, mechanism: SaslMechanism) -> KafkaSettings {
        KafkaSettings {
            security: Security {
                login: Some(Login {
                    mechanism,
                    username: USER.to_owned(),
                    password: Secret::new(PASSWORD),
                }),
                tls: Some(Tls {
                    ca_file: Some(self.certificates().ca()),
                    identity: None,
                }),
            },
            ..KafkaSettings::plain(&self.guarded().password, self.topic_prefix())
        }
    }

    /// Kafka by a client's certificate.
    ///
    /// # Panics
    /// As [`Space::kafka_by_password`].
    #[must_use]
    pub fn kafka_by_certificate(&self) -> KafkaSettings {
        let certificates = self.certificates();
        KafkaSettings {
            security: Security {
                login: None,
                tls: Some(Tls {
                    ca_file: Some(certificates.ca()),
                    identity: Some(Identity {
                        certificate_file: certificates.client(),
                        key_file: certificates.client_key(),
                    }),
                }),
            },
            ..KafkaSettings::plain(&self.guarded().certificate, self.topic_prefix())
        }
    }

    /// [`kafka_by_password`](Self::kafka_by_password) as environment variables; they stand above those of [`env`](Self::env).
    ///
    /// # Panics
    /// As [`Space::kafka_by_password`].
    #[must_use]
    pub fn guarded_kafka_env(&self) -> Vec<(String, String)> {
        let authority = self.certificates().ca().display().to_string();
        [
            ("BROKERS", self.guarded().password.as_str()),
            ("SECURITY_PROTOCOL", "sasl_ssl"),
            ("SASL_MECHANISM", SaslMechanism::ScramSha512.name()),
            ("SASL_USERNAME", USER),
            ("SASL_PASSWORD", PASSWORD),
            ("CA_FILE", &authority),
        ]
        .map(|(name, value)| (format!("SWITCHBOARD_KAFKA_{name}"), value.to_owned()))
        .into()
    }

    /// The certificates of the servers, and of who may connect to them.
    #[must_use]
    pub fn certificates(&self) -> Certificates {
        Certificates::of(&self.addresses().dir)
    }

    fn guarded(&self) -> &GuardedKafka {
        let guarded = self.addresses().guarded_kafka.as_ref();
        guarded.expect("the stack was started with `Options::guarded_kafka`")
    }
}
