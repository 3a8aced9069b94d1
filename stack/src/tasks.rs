//! The subcommands.

pub(crate) mod run;
pub(crate) mod test;
pub(crate) mod up;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C or SIGTERM, listened for from the moment this is made. Its methods are safe to drop and to call again.
pub(crate) struct AskedToEnd {
    interrupt: Signal,
    terminate: Signal,
}

impl AskedToEnd {
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Returns when asked in either way.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Returns at a SIGTERM, which is for this process alone; a Ctrl-C has reached all in the terminal's foreground.
    pub(crate) async fn terminated(&mut self) {
        self.terminate.recv().await;
    }
}

/// One line on stderr: stdout is for results.
#[expect(
    clippy::print_stderr,
    reason = "what happens, for who typed the command"
)]
pub(crate) fn say(line: impl std::fmt::Display) {
    eprintln!("stack: {line}");
}
