//! Everything that decides, run together: sessions, rooms, batches, the cache of routes, who owns what, and the
//! client's outbox are the programs' own; Kafka, Postgres, Redis, processes and sockets are plain data. Time is
//! simulated and all chance comes from one seed, so a run is repeated by its seed. After each step I2, I3, I5, I6
//! and I12 are checked; at the end, when faults are over, everything accepted is with everybody, once, in order.
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
//! Absent on purpose: `pipeline::worker`, `owner` and `registry` themselves, which are played here (they need
//! tokio's time); pushes, edits, signals, and what concerns people who are not connected (I8).

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
