//! The gateway: clients' WebSockets and the REST API on one side, Kafka on the other.
//!
//! | module | what |
//! | --- | --- |
//! | [`session`] | a session as a pure state machine: in order, whole, once (I4, I5) |
//! | [`socket`] | sockets: accept, upgrade, one task and one bounded mailbox each |
//! | [`registry`] | who is connected here, and the reader of the home that serves them |
//! | [`broadcast`] | what is for sessions that the classifiers can't find |
//! | [`custody`] | which records of a home are done with (I8), pure too |
//! | [`handover`] | hands on what nobody here confirms |
//! | [`steward`] | reads homes that nobody owns |
//! | [`catchup`] | the one catch-up routine, its queries shared |
//! | [`routes`], [`commands`] | into Redis, into Kafka |
//! | `behind` | how far the readers of homes are behind, for metrics |
//! | [`healing`] | notices routes that Redis has lost |
//! | `gateway` | what every socket and request shares |
//! | `entry` | the first span of a command that is traced |
//! | [`rest`] | the API under `/v1` |
//! | [`auth`], [`rate`] | who may, and how fast |
//! | [`settings`], [`metrics`] | what it is told, what it counts |
//! | [`serve`] | puts it together |
//! | [`drain`] | takes it apart again, in order |
//!
//! Absent on purpose: what a room is and who may do what in it (the classifier decides).

pub mod auth;
mod behind;
pub mod broadcast;
pub mod catchup;
pub mod commands;
pub mod custody;
pub mod drain;
mod entry;
#[cfg(test)]
mod fed;
mod gateway;
pub mod handover;
pub mod healing;
pub mod metrics;
pub mod rate;
mod reading;
pub mod registry;
pub mod rest;
pub mod routes;
pub mod serve;
pub mod session;
pub mod settings;
pub mod socket;
pub mod steward;

pub use gateway::{Gateway, Identity};
pub use serve::run;
pub use settings::Settings;
