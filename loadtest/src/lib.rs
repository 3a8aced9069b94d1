//! Drives the system as its users would, counts what happens, and judges it.
//!
//! - [`oracle`]: what was issued, accepted and delivered, and so what was lost, doubled or out of order. Pure.
//! - [`Scenario`]: users on gateways, rooms among them, messages at a rate: for system tests and load runs.
//! -

pub mod oracle;

mod away;
mod latency;
mod plan;
mod scenario;

pub use away::Away;
pub use latency::{Latencies, Percentiles};
pub use plan::Phase;
pub use scenario::{Gauge, Paced, Room, Scenario, Session};
