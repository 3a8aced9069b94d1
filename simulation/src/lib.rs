//! Everything that decides, run together: sessions, custody, rooms, batches, the cache of routes, who owns and stewards
//! what, which route is dead, and the client's outbox are the programs' own; Kafka, Postgres, Redis, processes and
//! sockets are plain data. Time is simulated and all chance comes from one seed, so a run is repeated by its seed. After
//! each step I2, I3, I5, I6, I8 and I12 are checked; at the end, when faults are over, everything accepted is with
//! everybody, once, in order, and who has gone was told of it.
//!
//! | module | what |
//! | --- | --- |
//! | [`run`](mod@run) | one seed: begin, trouble, rest, and what is left |
//! | [`world`] | time, and what is under way |
//! | [`gateway`], [`classifier`], [`device`] | the processes around the pure parts |
//! | [`postgres`], [`catch_up`], [`redis`] | servers as plain data; Kafka's logs are lists in [`world`] |
//! | [`push`] | who is told by a push, and that nobody is who is connected |
//! | [`faults`] | what users do, and what breaks |
//! | [`truth`] | what is checked |
//! | [`switches`] | rules that can be taken out |
//!
//! Absent on purpose: `pipeline::worker`, `owner`, `registry`, the rest of `handover`, and `push` themselves, played here
//! (they need tokio's tasks and time); edits and signals.

pub mod catch_up;
pub mod chance;
pub mod classifier;
pub mod device;
pub mod faults;
pub mod frames;
pub mod gateway;
pub mod postgres;
pub mod push;
pub mod redis;
pub mod run;
pub mod switches;
pub mod truth;
pub mod world;

pub use run::{Broken, Passed, run};
pub use switches::Without;
