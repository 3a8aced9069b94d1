//! The files of certificates and keys: looked at before librdkafka does, which names its own settings.

use std::fs;
use std::path::Path;

use rdkafka::ClientConfig;
use rdkafka::producer::BaseProducer;

use super::Tls;

/// What a file is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Certificates,
    Key,
}

/// Whether a file is there and holds, by its PEM labels, what it should; the message says what to do.
pub(super) fn check(file: &Path, holds: Holds) -> Result<(), String> {
    let bytes =
        fs::read(file).map_err(|error| format!("{} can't be read: {error}", file.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    let has = |label: &str| text.contains(&format!("{label}-----"));
    match holds {
        Holds::Certificates if has("CERTIFICATE") => Ok(()),
        Holds::Certificates if has("PRIVATE KEY") => Err(
            "holds a key and no certificate: give the certificate here, and the key as kafka.key_file"
                .to_owned(),
        ),
        Holds::Certificates => {
            Err("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned())
        }
        Holds::Key if has("ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") => {
            Err("is encrypted: give the key without a password (openssl pkey -in OLD -out NEW), in a file that only this user reads".to_owned())
        }
        Holds::Key if has("PRIVATE KEY") => Ok(()),
        Holds::Key if has("CERTIFICATE") => Err(
            "holds a certificate and no key: give the key here, and the certificate as kafka.certificate_file"
                .to_owned(),
        ),
        Holds::Key => Err("holds no key in PEM (-----BEGIN PRIVATE KEY-----)".to_owned()),
    }
}

/// What librdkafka calls the three files.
const NATIVE: [(&str, &str); 3] = [
    ("ssl.ca.location", "kafka.ca_file"),
    ("ssl.certificate.location", "kafka.certificate_file"),
    ("ssl.key.location", "kafka.key_file"),
];

/// Has librdkafka load the files, by a client without brokers: nothing is connected to. The error is the setting and what
/// is wrong with it.
pub(super) fn load(tls: &Tls) -> Result<(), (&'static str, String)> {
    let mut config = ClientConfig::new();
    config.set("security.protocol", "ssl");
    configure(&mut config, tls);
    let Err(error) = config.create::<BaseProducer>() else {
        return Ok(());
    };
    let error = error.to_string();
    if error.contains("key values mismatch") || error.contains("Private key check failed") {
        let message = format!("is not the key of kafka.certificate_file: {error}");
        return Err(("kafka.key_file", message));
    }
    let blamed = NATIVE
        .into_iter()
        .find_map(|(native, ours)| error.contains(native).then_some(ours));
    Err((
        blamed.unwrap_or("kafka.security_protocol"),
        format!("can't be used: {error}"),
    ))
}

/// Tells librdkafka which files to load.
pub(super) fn configure(config: &mut ClientConfig, tls: &Tls) {
    let identity = tls.identity.as_ref();
    let files = [
        tls.ca_file.as_deref(),
        identity.map(|identity| identity.certificate_file.as_path()),
        identity.map(|identity| identity.key_file.as_path()),
    ];
    for ((native, _), file) in NATIVE.into_iter().zip(files) {
        if let Some(file) = file {
            config.set(native, file.to_string_lossy());
        }
    }
}
