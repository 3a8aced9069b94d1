//! What a caller decides about the connections.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::connect::Way;
use crate::{StoreError, TlsMode};

/// How to reach Postgres and how long to wait for it.
#[derive(Clone)]
pub struct StoreSettings {
    /// `postgres://user:password@host:port/database`, or key=value pairs as libpq takes them.
    pub url: String,
    /// Whether connections are encrypted. An address whose `sslmode` says otherwise is refused.
    pub tls: TlsMode,
    /// Certificates (PEM) of who may sign the server's, with [`TlsMode::VerifyFull`]; the system's if
    /// absent. It is read once, when the connections are made ready.
    pub ca_file: Option<PathBuf>,
    /// The most connections that this process opens.
    pub pool_size: usize,
    /// The longest that one statement may run. The caller gives up 1 s later, counted from the call,
    /// the wait for a connection included; and after half of that if nothing could be sent.
    pub statement_timeout: Duration,
    /// The longest that a statement may wait for a lock.
    pub lock_timeout: Duration,
}

impl StoreSettings {
    /// Settings for `url` with the defaults: no TLS, 16 connections, 5 s a statement, 2 s a lock.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            tls: TlsMode::Disable,
            ca_file: None,
            pool_size: 16,
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(2),
        }
    }

    /// Whether the address can be one and the authorities can be read, without asking Postgres.
    ///
    /// # Errors
    /// [`StoreError::Settings`], which names the setting and what is wrong, and not the address.
    pub fn check(&self) -> Result<(), StoreError> {
        if self.ca_file.is_some() && self.tls != TlsMode::VerifyFull {
            return Err(StoreError::Settings {
                setting: "postgres.ca_file",
                reason: format!(
                    "not used with postgres.tls = {}: set that to verify-full, or leave this out",
                    self.tls.name()
                ),
            });
        }
        Way::to(self).map(drop)
    }
}

/// Without the address: it may hold a password.
impl fmt::Debug for StoreSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSettings")
            .field("url", &"(redacted)")
            .field("tls", &self.tls)
            .field("ca_file", &self.ca_file)
            .field("pool_size", &self.pool_size)
            .field("statement_timeout", &self.statement_timeout)
            .field("lock_timeout", &self.lock_timeout)
            .finish()
    }
}
