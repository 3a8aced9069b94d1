//! `stack test -- cargo test`: one start of the servers for all test binaries, of which none outlives its own tests.

use std::{
    ffi::OsString,
    fs,
    process::{ExitCode, ExitStatus},
};

use anyhow::Context as _;
use tokio::process::Command;

use super::AskedToEnd;

pub(crate) async fn test(command: &[OsString]) -> anyhow::Result<ExitCode> {
    let mut end = AskedToEnd::listen()?;
    let stack = tokio::select! {
        stack = stack::Stack::start(stack::Options::default()) => stack?,
        () = end.asked() => return Ok(ExitCode::FAILURE),
    };
    let program = &command[0];
    let mut child = Command::new(program)
        .args(&command[1..])
        .env(stack::VARIABLE, stack.to_variable())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("could not start {}", program.display()))?;
    // The command is in the terminal's foreground group with us: a Ctrl-C reaches it by itself, and it ends in its own way.
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            () = end.asked() => {}
        }
    };
    if !status.success() {
        keep_logs(&stack)?;
    }
    Ok(code_of(status))
}

/// The stack's folder goes with it; the logs of tests that failed are moved out of it before.
#[expect(clippy::print_stderr, reason = "where to look, for who ran the tests")]
fn keep_logs(stack: &stack::Stack) -> anyhow::Result<()> {
    let logs = stack.dir().join("spaces");
    let kept = stack::root().join("failed");
    if kept.exists() {
        fs::remove_dir_all(&kept)?;
    }
    if logs.exists() {
        fs::rename(&logs, &kept)?;
        eprintln!("stack: the logs of what failed are in {}", kept.display());
    }
    Ok(())
}

/// The command's own code; 1 when a signal ended it.
fn code_of(status: ExitStatus) -> ExitCode {
    status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}
