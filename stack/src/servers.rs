//! How each server is started: its settings, its data folder, its probe.

pub(crate) mod kafka;
pub(crate) mod postgres;
pub(crate) mod redis;

use std::process::{Command, Stdio};

use crate::error::{Doing, Error, Result};

/// Runs a command to its end; what it wrote is told only when it failed.
fn run(what: &str, command: &mut Command) -> Result<()> {
    run_on(what, command, Stdio::null())
}

/// As [`run`], of a command that reads something.
fn run_on(what: &str, command: &mut Command, input: Stdio) -> Result<()> {
    let output = command
        .stdin(input)
        .output()
        .doing(|| format!("run {}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Failed {
        what: what.into(),
        status: output.status.to_string(),
        output: format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
    })
}
