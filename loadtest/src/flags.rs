//! The flags of a task, as tests type them.

use clap::{Args, Command, Error};

/// What a line says: the task's name, and its flags.
pub(crate) fn flags<A: Args>(line: &str) -> Result<A, Error> {
    let command = A::augment_args(Command::new("loadtest"));
    let matches = command.try_get_matches_from(line.split_whitespace())?;
    A::from_arg_matches(&matches)
}
