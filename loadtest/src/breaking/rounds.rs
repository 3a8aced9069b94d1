//! How rounds are asked for, whatever happens in them.

use std::{path::PathBuf, time::Duration};

use anyhow::ensure;
use clap::Args;

/// How long the load of a round lasts around what happens in it, and where all rounds are written to.
#[derive(Debug, Clone, Args)]
pub struct Rounds {
    /// Seconds of load before anything happens; the second half is what is usual.
    #[arg(long, default_value_t = 6.0)]
    pub before: f64,
    /// Seconds of load after all stands again.
    #[arg(long, default_value_t = 8.0)]
    pub after: f64,
    /// Seconds of load before the first round.
    #[arg(long, default_value_t = 15.0)]
    pub warm_up: f64,
    /// Write the result as JSON; `-` is stdout.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a page with a picture of each round.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

impl Rounds {
    /// # Errors
    /// When a time makes no sense; in the words of the command line.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        for (name, seconds) in [
            ("--before", self.before),
            ("--after", self.after),
            ("--warm-up", self.warm_up),
        ] {
            ensure!(
                (0.0..=86_400.0).contains(&seconds),
                "{name}: from 0 to a day"
            );
        }
        Ok(())
    }

    /// [`Rounds::before`]; none when that makes no sense.
    pub(crate) fn load_before(&self) -> Duration {
        Duration::from_secs_f64(self.before.max(0.0))
    }

    /// [`Rounds::after`]; none when that makes no sense.
    pub(crate) fn load_after(&self) -> Duration {
        Duration::from_secs_f64(self.after.max(0.0))
    }
}
