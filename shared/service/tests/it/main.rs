//! The crate's edges, run for real: Kafka through a real broker, signals to a real process.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "functions that tests share fail a test as the tests themselves do"
)]

mod admin;
mod kafka;
mod lifecycle;
mod security;
mod settings;
mod settings_files;
mod trace;
