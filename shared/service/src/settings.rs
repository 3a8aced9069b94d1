//! Settings: a file, then the environment, then flags; every mistake named at once.
//!
//! A service declares a table of [`Key`]s. [`Values`] finds a text for each and remembers where it
//! came from; reading a text as a domain type records a mistake instead of failing, so that
//! [`Values::finish`] can name them all. What is not in the table is a mistake as well, in the
//! file, in flags, and in the environment (`SWITCHBOARD_…`).
//!
//! Each of the three may name a file that holds the text instead: `SWITCHBOARD_POSTGRES_URL_FILE`.

mod from_file;
mod groups;
mod redact;
mod secret;
mod shared;
mod sources;
mod text;
mod values;

pub use groups::{AdminSettings, LogFormat, LogSettings};
pub use redact::redacted;
pub use secret::Secret;
pub use shared::{HOMES, POSTGRES_KEYS, REDIS_KEYS};
pub use text::Setting;
pub use values::{Mistake, Mistakes, Values};

/// What every variable of the environment that is a setting starts with.
pub const ENV_PREFIX: &str = "SWITCHBOARD_";

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its dotted name, as in the file: `kafka.brokers`. In the environment
    /// `SWITCHBOARD_KAFKA_BROKERS`, as a flag `--kafka-brokers`.
    pub name: &'static str,
    /// The text used when no source gives one; `None`: it must be given, or may be absent.
    pub default: Option<&'static str>,
    /// One line for `--help`.
    pub help: &'static str,
    /// Never shown, not even in a mistake.
    pub secret: bool,
}

impl Key {
    /// A setting with a default.
    pub const fn new(name: &'static str, default: &'static str, help: &'static str) -> Self {
        Self {
            name,
            default: Some(default),
            help,
            secret: false,
        }
    }

    /// A setting without a default: read with [`Values::get`] it is required, with
    /// [`Values::optional`] it may be absent.
    pub const fn bare(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            default: None,
            help,
            secret: false,
        }
    }

    /// A setting without a default whose text is never shown.
    pub const fn secret(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            default: None,
            help,
            secret: true,
        }
    }

    /// Its name in the environment.
    pub fn variable(&self) -> String {
        format!(
            "{ENV_PREFIX}{}",
            self.name.replace('.', "_").to_ascii_uppercase()
        )
    }

    /// Its name as a flag, with the dashes.
    pub fn flag(&self) -> String {
        format!("--{}", self.name.replace(['.', '_'], "-"))
    }
}
