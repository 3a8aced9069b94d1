//! How connections are opened: the address, encryption, and what every session has.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::with_sources;
use crate::tls::{self, TlsMode};
use crate::{StoreError, StoreSettings};

/// The longest that opening a connection for the schema may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The way to one server.
#[derive(Clone)]
pub(crate) struct Way {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    mode: TlsMode,
}

impl Way {
    /// Checks the settings and reads the authorities.
    pub(crate) fn to(settings: &StoreSettings) -> Result<Self, StoreError> {
        let config = config_of(&settings.url, settings.tls)?;
        let tls = tls::connector(settings, config.get_ssl_negotiation())?;
        Ok(Self {
            config,
            tls,
            mode: settings.tls,
        })
    }

    /// What opens the pool's connections.
    pub(crate) fn manager(&self, settings: &StoreSettings) -> Manager {
        let config = bounded(self.config.clone(), settings);
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        match &self.tls {
            None => Manager::from_config(config, NoTls, recycling),
            Some(tls) => Manager::from_config(config, tls.clone(), recycling),
        }
    }

    /// A connection outside the pool, without its timeouts: what changes a schema may take its time.
    pub(crate) async fn open(&self) -> Result<Client, StoreError> {
        let opened = match &self.tls {
            None => self
                .config
                .connect(NoTls)
                .await
                .map(|(client, connection)| {
                    drive(connection);
                    client
                }),
            Some(tls) => self
                .config
                .connect(tls.clone())
                .await
                .map(|(client, connection)| {
                    drive(connection);
                    client
                }),
        };
        opened.map_err(|error| self.not_opened(&error))
    }

    /// Why a connection could not be opened, and what to do about it.
    pub(crate) fn not_opened(&self, error: &tokio_postgres::Error) -> StoreError {
        let mut reason = with_sources(error);
        if let Some(advice) = tls::advice(self.mode, error) {
            reason.push_str("; ");
            reason.push_str(&advice);
        }
        StoreError::Unavailable {
            reason,
            source: None,
        }
    }
}

/// Ends with the client; what broke it is what the client's next call says.
fn drive(
    connection: impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection ended");
        }
    })
}

/// Reads an address, and adds what every connection has.
fn config_of(url: &str, mode: TlsMode) -> Result<Config, StoreError> {
    let of_url = |reason| StoreError::Settings {
        setting: "postgres.url",
        reason,
    };
    let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
        // The parser's message names the wrong part, not the address with its password.
        let mut reason = with_sources(&error);
        if reason.contains("`ssl") {
            reason.push_str(": leave it out, postgres.tls and postgres.ca_file say it");
        }
        of_url(reason)
    })?;
    let encrypted = mode != TlsMode::Disable;
    let said = match config.get_ssl_mode() {
        SslMode::Disable => Some("disable").filter(|_| encrypted),
        SslMode::Require => Some("require").filter(|_| !encrypted),
        _ => None, // nothing, or "prefer": either is fine
    };
    if let Some(said) = said {
        let setting = mode.name();
        return Err(of_url(format!(
            "it says sslmode={said}, and postgres.tls = {setting}: leave sslmode out and set postgres.tls"
        )));
    }
    config.ssl_mode(if encrypted {
        SslMode::Require
    } else {
        SslMode::Disable
    });
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_application_name().is_none() {
        config.application_name("switchboard");
    }
    config.keepalives_idle(Duration::from_secs(10));
    Ok(config)
}

/// Timeouts, and what the statements rely on, as options of the session: there from its start,
/// without a round trip.
fn bounded(mut config: Config, settings: &StoreSettings) -> Config {
    let options = format!(
        "{} -c statement_timeout={} -c lock_timeout={} \
         -c idle_in_transaction_session_timeout={} -c synchronous_commit=on -c jit=off",
        config.get_options().unwrap_or_default(),
        settings.statement_timeout.as_millis(),
        settings.lock_timeout.as_millis(),
        settings.statement_timeout.as_millis(),
    );
    config.options(options);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(url: &str, mode: TlsMode) -> String {
        match config_of(url, mode) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    /// One of two that disagree would be ignored; nobody would know which.
    #[test]
    fn an_address_can_not_contradict_the_setting() {
        use TlsMode::{Disable, Require, VerifyFull};
        for (said, mode, fits) in [
            ("", Disable, true),
            ("", VerifyFull, true),
            ("?sslmode=prefer", Disable, true),
            ("?sslmode=prefer", Require, true),
            ("?sslmode=disable", Disable, true),
            ("?sslmode=require", Require, true),
            ("?sslmode=require", VerifyFull, true),
            ("?sslmode=require", Disable, false),
            ("?sslmode=disable", Require, false),
            ("?sslmode=disable", VerifyFull, false),
            ("?sslmode=verify-full", VerifyFull, false),
            ("?sslrootcert=/ca.pem", VerifyFull, false),
        ] {
            let told = error(&format!("postgres://u:hidden@h/d{said}"), mode);
            assert_eq!(told.is_empty(), fits, "{said} {mode:?}: {told}");
            let named = told.contains("postgres.url") && told.contains("postgres.tls");
            assert!(fits || named, "{said} {mode:?}: {told}");
            assert!(!told.contains("hidden"), "{told}");
        }
        let told = error("host=h dbname=d sslmode=require", Disable);
        assert!(told.contains("postgres.tls = disable"), "{told}");
    }

    /// Nothing is tried unencrypted first, and nothing encrypted that was not asked for.
    #[test]
    fn the_setting_alone_decides() {
        for (mode, expected) in [
            (TlsMode::Disable, SslMode::Disable),
            (TlsMode::Require, SslMode::Require),
            (TlsMode::VerifyFull, SslMode::Require),
        ] {
            let config = config_of("postgres://u@h/d?sslmode=prefer", mode).unwrap();
            assert_eq!(config.get_ssl_mode(), expected, "{mode:?}");
        }
    }
}
