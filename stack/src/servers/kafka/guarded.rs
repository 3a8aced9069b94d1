//! Listeners that let nobody in without proof: a password over TLS, or a certificate.

use std::ffi::OsString;

use crate::{certificates::Certificates, ports};

/// The user that is known to them, by each mechanism.
pub(crate) const USER: &str = "switchboard";
/// Its password. Not a random one: a data folder that is used again has it already.
pub(crate) const PASSWORD: &str = "known to whoever reads this";

/// The ports of one broker's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guarded {
    /// SASL_SSL.
    pub(crate) password: u16,
    /// SSL, with a client's certificate.
    pub(crate) certificate: u16,
}

impl Guarded {
    pub(crate) fn free() -> Self {
        Self {
            password: ports::free_port(),
            certificate: ports::free_port(),
        }
    }

    /// As (name, port, protocol).
    pub(super) const fn listeners(self) -> [(&'static str, u16, &'static str); 2] {
        [
            ("PASSWORD", self.password, "SASL_SSL"),
            ("CERTIFICATE", self.certificate, "SSL"),
        ]
    }
}

/// What `StorageTool format` needs to make the user known; PLAIN has its users in the settings.
pub(super) fn users() -> impl Iterator<Item = OsString> {
    ["SCRAM-SHA-256", "SCRAM-SHA-512"]
        .into_iter()
        .flat_map(|mechanism| {
            [
                "--add-scram".into(),
                format!("{mechanism}=[name={USER},password={PASSWORD}]").into(),
            ]
        })
}

pub(super) fn settings(certificates: &Certificates) -> String {
    const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required";
    format!(
        "ssl.keystore.type=PEM\n\
         ssl.keystore.location={store}\n\
         ssl.truststore.type=PEM\n\
         ssl.truststore.location={authority}\n\
         listener.name.certificate.ssl.client.auth=required\n\
         listener.name.password.sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256,PLAIN\n\
         listener.name.password.scram-sha-256.sasl.jaas.config={SCRAM}\n\
         listener.name.password.scram-sha-512.sasl.jaas.config={SCRAM}\n\
         listener.name.password.plain.sasl.jaas.config={PLAIN} user_{USER}=\"{PASSWORD}\";\n",
        store = certificates.server_store().display(),
        authority = certificates.ca().display(),
    )
}
