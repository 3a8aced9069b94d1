//! What every service has: settings, lifecycle, telemetry, traces, an admin port, a clock, and the Kafka
//! clients. The only crate that uses rdkafka.
//!
//! It knows nothing of chat: no command, room or frame is named here.

pub mod admin;
mod asked;
pub mod clock;
pub mod kafka;
pub mod lifecycle;
pub mod metrics;
pub mod process;
pub mod program;
pub mod readiness;
pub mod requests;
pub mod settings;
pub mod statements;
pub mod telemetry;
pub mod trace;
