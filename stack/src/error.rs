//! What can go wrong between "start" and "everything answers", said so that the reader knows what to do next.

use std::{io, time::Duration};

/// Why servers or processes could not be started, reached or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program that is not on this machine and could not be installed.
    #[error("{what} is missing: {advice}")]
    Missing {
        /// The program or package.
        what: String,
        /// What to type to get it.
        advice: String,
    },
    /// Something of the operating system failed.
    #[error("could not {what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A process did not answer in time.
    #[error("{name} did not answer within {waited:?} (last: {last}); the end of its log:\n{tail}")]
    NotReady {
        /// The process.
        name: String,
        /// How long it was waited for.
        waited: Duration,
        /// What the last attempt saw.
        last: String,
        /// The last lines of the log: the file itself may go before anybody reads this.
        tail: String,
    },
    /// A process ended where it should have gone on.
    #[error("{name} ended ({status}); the end of its log:\n{tail}")]
    Ended {
        /// The process.
        name: String,
        /// How it ended.
        status: String,
        /// The last lines of the log: the file itself may go before anybody reads this.
        tail: String,
    },
    /// A port that was asked for belongs to somebody else.
    #[error("port {port} is taken, and {name} is to listen there: {advice}")]
    PortTaken {
        /// The port.
        port: u16,
        /// Who wanted it.
        name: String,
        /// What to do about it.
        advice: String,
    },
    /// A command that was run to its end failed.
    #[error("{what} failed ({status}):\n{output}")]
    Failed {
        /// The command, in words.
        what: String,
        /// Its exit status.
        status: String,
        /// What it wrote.
        output: String,
    },
    /// The addresses of a shared stack can't be understood.
    #[error("{variable} does not hold the addresses of a stack: {why}")]
    Addresses {
        /// The environment variable.
        variable: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Postgres refused a space's database.
    #[error("the database of a space could not be made or dropped")]
    Database(#[source] store::StoreError),
}

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Turns an [`io::Error`] into an [`Error`] that says what was being done.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io {
            what: what(),
            source,
        })
    }
}
