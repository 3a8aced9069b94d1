//! Drives the system as its users would, counts what happens, and judges it.
//!
//! - [`oracle`]: what was issued, accepted and delivered, and so what was lost, doubled or out of order. Pure.
//! - [`Scenario`]: users on gateways, rooms among them, messages at a rate: for system tests and load runs.
//! - [`run`], [`idle`], [`bench()`]: load runs with percentiles, processor time, memory and a verdict.
//! - [`break_it`]: faults under load, one after another, and what was lost.
//! - [`storm`]: a gateway dies with thousands of sessions. [`soak`]: a fault each minute, for an hour.
//! - [`kubernetes()`]: the chart on a real cluster, and what happens to installations.
//! - [`hold`]: a system under load that obeys, line by line.
//! - [`chat`]: the terminal client.

pub mod oracle;

mod away;
mod bench;
mod breaking;
mod chat;
mod failings;
#[cfg(test)]
mod flags;
mod hold;
mod hook;
mod idle;
mod kubernetes;
mod latency;
mod own_cluster;
mod plan;
mod processes;
mod report;
mod run;
mod scenario;
mod soak;
mod storm;
mod typed;

pub use away::Away;
pub use bench::{BenchArgs, BenchReport, bench};
pub use breaking::{BreakArgs, BreakReport, Fault, Rounds, Row, Scene, Spread, break_it};
pub use chat::{ChatArgs, chat};
pub use failings::Failings;
pub use hold::{HoldArgs, hold};
pub use idle::{IdleArgs, IdleReport, idle};
pub use kubernetes::{KubernetesArgs, KubernetesReport, Trial, kubernetes};
pub use latency::{Latencies, Percentiles};
pub use plan::Phase;
pub use processes::Usage;
pub use report::Report;
pub use run::{RunArgs, run};
pub use scenario::{Gauge, Paced, Room, Scenario, Session};
pub use soak::{SoakArgs, SoakReport, soak};
pub use storm::{StormArgs, StormReport, storm};

/// Where `make run` has its gateways.
const LOCAL: &str = "http://127.0.0.1:8081,http://127.0.0.1:8082,http://127.0.0.1:8083";
