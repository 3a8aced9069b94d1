//! The subcommands.

pub(crate) mod run;
pub(crate) mod test;
pub(crate) mod up;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C or SIGTERM, listened for from the moment this is made.
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

    /// Returns when asked; safe to drop and to call again.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
