//! What can go wrong with a statement, sorted by what the caller may do about it.

use tokio_postgres::error::{DbError, Severity};

/// Why a call failed. `append` has its own: [`AppendError`](crate::AppendError).
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Known not to have been done: repeat with backoff.
    #[error("Postgres is unavailable: {reason}")]
    Unavailable {
        /// For the log.
        reason: String,
        /// What the driver said, if it was the driver.
        #[source]
        source: Option<Box<tokio_postgres::Error>>,
    },
    /// The answer was lost: done or not is unknown. The connection has left the pool.
    #[error("Postgres did not answer {statement:?}: {reason}")]
    Unknown {
        /// The statement's name.
        statement: &'static str,
        /// For the log.
        reason: String,
    },
    /// The database refused what was asked; repeating it is refused again.
    #[error("Postgres refused {statement:?} ({sqlstate})")]
    Refused {
        /// The statement's name.
        statement: &'static str,
        /// Its five characters.
        sqlstate: String,
        /// What the driver said.
        #[source]
        source: Box<tokio_postgres::Error>,
    },
    /// What is stored is not what this build writes. Never read as absent.
    #[error("stored data can't be read: {0}")]
    Corrupt(String),
    /// A setting, or a name that was given, can't be used.
    #[error("{setting}: {reason}")]
    Settings {
        /// As people know it: `postgres.url`.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The schema could not be brought up to date.
    #[error("the schema could not be set up")]
    Schema(#[source] Box<refinery::Error>),
}

impl StoreError {
    /// As the label of a metric.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "unavailable",
            Self::Unknown { .. } => "unknown",
            Self::Refused { .. } => "refused",
            Self::Corrupt(_) => "corrupt",
            Self::Settings { .. } => "settings",
            Self::Schema(_) => "schema",
        }
    }

    /// Whether repeating the same call later can help.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Unknown { .. })
    }

    /// What the database said, if it was the database.
    pub(crate) fn db(&self) -> Option<&DbError> {
        match self {
            Self::Refused { source, .. } => source.as_db_error(),
            Self::Unavailable { source, .. } => source.as_ref().and_then(|e| e.as_db_error()),
            _ => None,
        }
    }

    /// Whether the server itself said so: the connection is fit for the next statement.
    pub(crate) const fn is_answer(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. }
                | Self::Unavailable {
                    source: Some(_),
                    ..
                }
        )
    }

    /// Sorts what the driver said about a statement that had been sent.
    ///
    /// An ERROR rolls the statement back: known not done. A FATAL may come after the commit (a
    /// backend ended while it waits for its standby), and a broken connection says nothing.
    pub(crate) fn of_statement(statement: &'static str, error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            let reason = with_sources(&error);
            // The driver refuses a parameter before anything is sent, too: a defect, not a wait.
            return Self::Unknown { statement, reason };
        };
        let sqlstate = db.code().code();
        let fatal = matches!(
            db.parsed_severity(),
            Some(Severity::Fatal | Severity::Panic) | None
        );
        if fatal || sqlstate.starts_with("08") {
            return Self::Unknown {
                statement,
                reason: format!("{sqlstate}: {}", db.message()),
            };
        }
        // Classes that are about what was asked; all others are about the server's condition.
        let refused = matches!(&sqlstate[..2], "22" | "23" | "42" | "SB" | "P0" | "0A");
        if refused {
            Self::Refused {
                statement,
                sqlstate: sqlstate.to_owned(),
                source: Box::new(error),
            }
        } else {
            Self::Unavailable {
                reason: format!("{sqlstate}: {}", db.message()),
                source: Some(Box::new(error)),
            }
        }
    }

    /// What the driver said before any statement was sent.
    pub(crate) fn of_connection(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Unavailable {
            reason: with_sources(error),
            source: None,
        }
    }
}

/// An error and what caused it, in one line.
pub(crate) fn with_sources(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
