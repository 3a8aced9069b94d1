//! The stack's promises: it answers, it is isolated per test, its servers obey, and nothing survives its process.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod cluster;
mod documents;
mod install;
mod refusals;
mod run;
mod servers;
mod spaces;
mod survivors;
