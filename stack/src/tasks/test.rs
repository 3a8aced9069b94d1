//! `stack test -- cargo test`: one start of the servers for all test binaries, of which none outlives its own tests.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{ExitCode, ExitStatus},
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::Signal;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use super::{AskedToEnd, say};

/// How long the command may take to end at a SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
/// How many warnings of each log are shown.
const SHOWN: usize = 30;

pub(crate) async fn test(command: &[OsString]) -> anyhow::Result<ExitCode> {
    let mut end = AskedToEnd::listen()?;
    let stack = tokio::select! {
        stack = stack::Stack::start(stack::Options::shared()) => stack?,
        () = end.asked() => return Ok(ExitCode::FAILURE),
    };
    let program = &command[0];
    let mut child = Command::new(program)
        .args(&command[1..])
        .env(stack::VARIABLE, stack.to_variable())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("could not start {}", program.display()))?;
    // A Ctrl-C has reached the command as well, which ends in its own way: it is only not to end us before.
    let status = tokio::select! {
        status = child.wait() => status?,
        () = end.terminated() => terminate(&mut child).await?,
    };
    if !status.success()
        && let Some(kept) = stack.keep_logs()
    {
        show_warnings(&kept.join("spaces"));
    }
    Ok(code_of(status))
}

/// Passes the SIGTERM on, to what the command has started too: cargo would leave the tests behind.
async fn terminate(child: &mut Child) -> anyhow::Result<ExitStatus> {
    let pid = child.id().unwrap_or_default();
    stack::signal_all(pid, Signal::TERM);
    if let Ok(status) = timeout(GRACE, child.wait()).await {
        return Ok(status?);
    }
    stack::signal_all(pid, Signal::KILL);
    Ok(child.wait().await?)
}

/// What the processes of failed tests complained about: where only the output is kept, it tells why.
fn show_warnings(spaces: &Path) {
    let mut logs: Vec<PathBuf> = entries(spaces)
        .flat_map(|space| entries(&space))
        .filter(|file| file.extension().is_some_and(|it| it == "log"))
        .collect();
    logs.sort();
    for log in logs {
        let text = fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let warnings: Vec<&str> = text
            .lines()
            .filter(|line| line.contains(" WARN ") || line.contains(" ERROR "))
            .collect();
        if warnings.is_empty() {
            continue;
        }
        say(format_args!(
            "the last warnings in {}:",
            stack::from_here(&log).display()
        ));
        for line in &warnings[warnings.len().saturating_sub(SHOWN)..] {
            say(line);
        }
    }
}

fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
}

/// The command's own code; 1 when a signal ended it.
fn code_of(status: ExitStatus) -> ExitCode {
    status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}
