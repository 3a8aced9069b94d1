//! Whether connections to Postgres are encrypted, and whose certificate is taken.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres::config::SslNegotiation;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{StoreError, StoreSettings};

/// How much of TLS there is, named as libpq names it. What lies between these (`prefer`, `verify-ca`)
/// can be stripped by who sits on the wire, or is not needed by who has an authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsMode {
    /// None.
    #[default]
    Disable,
    /// Encrypted; whose certificate the server shows is not looked at.
    Require,
    /// Encrypted, and the certificate is for the host of the address, by an authority that is trusted.
    VerifyFull,
}

impl TlsMode {
    /// As it stands in the settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Require => "require",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl FromStr for TlsMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Disable, Self::Require, Self::VerifyFull]
            .into_iter()
            .find(|mode| mode.name() == text)
            .ok_or("expected disable, require or verify-full")
    }
}

/// What makes a connection an encrypted one; nothing, if it is not to be.
pub(crate) fn connector(
    settings: &StoreSettings,
    negotiation: SslNegotiation,
) -> Result<Option<MakeRustlsConnect>, StoreError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match settings.tls {
        TlsMode::Disable => return Ok(None),
        TlsMode::Require => Arc::new(Anybody(Arc::clone(&provider))),
        TlsMode::VerifyFull => {
            let roots = Arc::new(match &settings.ca_file {
                Some(path) => roots_in(path).map_err(of_ca_file)?,
                None => roots_of_the_system()?,
            });
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                .build()
                .map_err(|error| of_ca_file(error.to_string()))?
        }
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| of_ca_file(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    if negotiation == SslNegotiation::Direct {
        // Who begins with TLS at once has to say what is to be spoken in it.
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(Some(MakeRustlsConnect::new(config)))
}

fn of_ca_file(reason: String) -> StoreError {
    StoreError::Settings {
        setting: "postgres.ca_file",
        reason,
    }
}

fn roots_in(path: &Path) -> Result<RootCertStore, String> {
    let unreadable =
        |error: &dyn fmt::Display| format!("{} can't be read: {error}", path.display());
    // Read by the standard library: its error says what is wrong with the file.
    let text = std::fs::read(path).map_err(|error| unreadable(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| unreadable(&error))?;
        roots.add(certificate).map_err(|error| unreadable(&error))?;
    }
    if roots.is_empty() {
        return Err(unreadable(&"there is no certificate (PEM) in it"));
    }
    Ok(roots)
}

fn roots_of_the_system() -> Result<RootCertStore, StoreError> {
    let mut roots = RootCertStore::empty();
    // One that can't be read is nobody's authority here.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(StoreError::Settings {
            setting: "postgres.tls",
            reason: "the system trusts no authority: set postgres.ca_file".to_owned(),
        });
    }
    Ok(roots)
}

/// Takes every certificate; that the server has its key is checked all the same.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What to do about a connection that could not be opened, where a setting of TLS is the reason.
pub(crate) fn advice(mode: TlsMode, error: &tokio_postgres::Error) -> Option<String> {
    let (setting, mode_is) = ("postgres.tls", mode.name());
    if let Some(db) = error.as_db_error() {
        // Its rules name no user and host that come unencrypted. The file's name is in every language.
        let by_rule = db.code().code() == "28000" && db.message().contains("pg_hba.conf");
        return (by_rule && mode == TlsMode::Disable).then(|| {
            format!(
                "{setting} = {mode_is}; if the server takes encrypted connections only, set it to verify-full or require"
            )
        });
    }
    let cause = error.source()?;
    // The driver has no kind of error for it.
    if cause.to_string() == "server does not support TLS" {
        return Some(format!(
            "{setting} = {mode_is}, and the server has no TLS: switch it on there (ssl = on), or set {setting} = disable"
        ));
    }
    let refusal = cause.downcast_ref::<io::Error>()?.get_ref()?;
    match refusal.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => Some(
            "the server's certificate was signed by none of the authorities in postgres.ca_file (without one: of the system)"
                .to_owned(),
        ),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => Some(
            "the server's certificate is for other hosts than the one in postgres.url".to_owned(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(tls: TlsMode, ca_file: Option<&str>) -> String {
        let settings = StoreSettings {
            tls,
            ca_file: ca_file.map(Into::into),
            ..StoreSettings::new("postgres://u:hidden@h/d")
        };
        let told = settings.check().err().map(|error| error.to_string());
        told.unwrap_or_default()
    }

    /// `check-config` finds them, not the first connection.
    #[test]
    fn authorities_that_can_never_work_are_named() {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        for (mode, file, why) in [
            (TlsMode::VerifyFull, "/nowhere/ca.pem", "No such file"),
            (TlsMode::VerifyFull, manifest, "no certificate"),
            (TlsMode::Require, manifest, "postgres.tls = require"),
            (TlsMode::Disable, manifest, "postgres.tls = disable"),
        ] {
            let told = told(mode, Some(file));
            assert!(told.starts_with("postgres.ca_file: "), "{told}");
            assert!(told.contains(why), "{told}");
        }
        assert_eq!(told(TlsMode::Require, None), "");
        assert_eq!(told(TlsMode::Disable, None), "");
    }

    #[test]
    fn modes_are_named_as_in_the_settings() {
        for mode in [TlsMode::Disable, TlsMode::Require, TlsMode::VerifyFull] {
            assert_eq!(mode.name().parse(), Ok(mode));
        }
        // It may be stripped by who sits on the wire.
        assert!("prefer".parse::<TlsMode>().is_err());
    }
}
