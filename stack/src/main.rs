//! `stack`: the servers, and the whole system on top of them, on this machine: for people and for `make`.

mod tasks;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};

/// Real Kafka, PostgreSQL and Redis on this machine, and the system on top of them.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Starts the servers, says where they listen, and ends them at Ctrl-C.
    Up {
        /// Kafka brokers: 1 or 3.
        #[arg(long, default_value_t = 1, value_parser = brokers)]
        brokers: usize,
    },
    /// Starts the servers and the system, says what to type, and ends all of it at Ctrl-C.
    Run(tasks::run::Options),
    /// Starts the servers, runs a command that finds them in its environment, and ends with its exit code.
    Test {
        /// The command and its arguments.
        #[arg(trailing_var_arg = true, required = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

fn brokers(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("1 or 3".into()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Up { brokers } => tasks::up::up(brokers).await,
        Task::Run(options) => tasks::run::run(options).await,
        Task::Test { command } => tasks::test::test(&command).await,
    };
    done.unwrap_or_else(|error| {
        report(&error);
        ExitCode::FAILURE
    })
}

#[expect(clippy::print_stderr, reason = "why it failed, for who typed it")]
fn report(error: &anyhow::Error) {
    eprintln!("stack: {error:#}");
}
