//! Tests of the whole: the layers of the workspace, and the system as its users see it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails says so by panicking"
)]

mod breaking;
mod cluster;
mod layers;
mod load_run;
mod program;
mod settings;
mod system;
mod terminal;
