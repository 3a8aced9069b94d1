//! The groups of settings that every service has.

use std::net::SocketAddr;

use super::{Key, Setting, Values};

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

impl Setting for LogFormat {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("expected text or json".to_owned()),
        }
    }
    fn placeholder() -> Self {
        Self::Text
    }
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// Text or JSON.
    pub format: LogFormat,
    /// A filter: `info`, or `info,was=debug`.
    pub level: String,
}

impl LogSettings {
    /// Its keys.
    pub const KEYS: &[Key] = &[
        Key::new("log.format", "text", "how logs are written: text or json"),
        Key::new(
            "log.level",
            "info",
            "what is logged: a level, or per module: info,was=debug",
        ),
    ];

    /// Reads them.
    pub fn read(values: &mut Values) -> Self {
        let level: String = values.get("log.level");
        if crate::telemetry::filter(&level).is_err() {
            values.mistake("log.level", "expected levels, as info or info,was=debug");
        }
        Self {
            format: values.get("log.format"),
            level,
        }
    }
}

/// Where health and metrics are served.
#[derive(Debug, Clone)]
pub struct AdminSettings {
    /// The address; port 0 lets the system choose one.
    pub listen: SocketAddr,
}

impl AdminSettings {
    /// Its keys.
    pub const KEYS: &[Key] = &[Key::new(
        "admin.listen",
        "127.0.0.1:0",
        "address of /livez, /readyz and /metrics; port 0: any free one, named in the log",
    )];

    /// Reads them.
    pub fn read(values: &mut Values) -> Self {
        Self {
            listen: values.get("admin.listen"),
        }
    }
}
