//! The stack's promises: it answers, it is isolated per test, its servers obey, and nothing survives its process.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod cables;
mod cluster;
mod documents;
mod install;
mod refusals;
mod run;
mod servers;
mod spaces;
mod survivors;

/// The turn of a test that starts servers by a program: all at once they would be too slow for a test that measures.
fn turn() -> std::fs::File {
    let root = stack::root();
    std::fs::create_dir_all(&root).unwrap();
    let file = std::fs::File::create(root.join("alone.lock")).unwrap();
    file.lock().unwrap();
    file
}
