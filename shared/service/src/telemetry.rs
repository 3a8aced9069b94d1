//! Structured logs, on stderr: stdout belongs to programs whose output is their result.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::settings::{LogFormat, LogSettings};

/// A filter from its text, as [`LogSettings`] checks it.
pub(crate) fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().parse(level)
}

/// Logs from now on. The second call in a process changes nothing, so that tests can run several
/// services in one.
pub fn init(settings: &LogSettings) {
    // The level was checked when settings were read.
    let filter = filter(&settings.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let first = match settings.format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init(),
    };
    if first.is_err() {
        tracing::debug!("logs were set up before");
    }
}
