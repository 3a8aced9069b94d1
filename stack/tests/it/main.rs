//! The stack's promises: it answers, it is isolated per test, its servers obey, and nothing survives its process.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

use std::sync::{Mutex, MutexGuard, PoisonError};

mod cables;
mod cluster;
mod documents;
mod install;
mod refusals;
mod run;
mod servers;
mod spaces;
mod survivors;

/// The turn of a test that has a program start servers; it ends when they answer. With the test that has its turn with
/// [`stack::Stack::alone`], two start them at a time: more would take longer, and no less in all.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
