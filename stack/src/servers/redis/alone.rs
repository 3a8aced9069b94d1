//! Redis without Kafka and Postgres, for tests of what needs nothing else.

use std::ops::Deref;

use tokio::task;

use super::{RedisKind, RedisServers, Way, start};
use crate::{
    certificates::Certificates,
    error::{Error, Result},
    folders::OwnFolder,
    install, ports,
};

/// A test's own Redis, of whichever kind: nobody else's to see, and anybody's to kill. It ends with the value.
#[derive(Debug)]
pub struct RedisAlone {
    servers: RedisServers,
    certificates: Certificates,
    // The order matters: the servers end before their folder goes.
    _folder: Folder,
}

#[derive(Debug)]
struct Folder(OwnFolder);

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.keep_logs();
        }
        self.0.remove();
    }
}

impl RedisAlone {
    /// Starts it, and returns when all of it answers.
    ///
    /// # Errors
    /// As [`Stack::start`](crate::Stack::start).
    pub async fn start(kind: RedisKind) -> Result<Self> {
        Self::by(kind, Way::Plain).await
    }

    /// The same, and all of it speaks TLS: to each other, and to clients who begin at [`RedisServers::tls_url`].
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn encrypted(kind: RedisKind) -> Result<Self> {
        Self::by(kind, Way::Encrypted).await
    }

    async fn by(kind: RedisKind, way: Way) -> Result<Self> {
        let started = task::spawn_blocking(move || {
            let installed = install::install()?;
            let folder = Folder(OwnFolder::make()?);
            let certificates = Certificates::make(&folder.0.path)?;
            let port = ports::free_port();
            Ok(Self {
                servers: start(kind, way, &installed, &folder.0.path, port, &certificates)?,
                certificates,
                _folder: folder,
            })
        });
        let alone: Self = started.await.map_err(|error| Error::Io {
            what: "start Redis".into(),
            source: error.into(),
        })??;
        for server in alone.all().iter().chain(alone.sentinels()) {
            server.ready().await?;
        }
        Ok(alone)
    }

    /// The certificates of the server.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }
}

impl Deref for RedisAlone {
    type Target = RedisServers;

    fn deref(&self) -> &RedisServers {
        &self.servers
    }
}
