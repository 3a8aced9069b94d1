//! `stack`: the servers and the whole system on this machine, for people and for `make`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal;

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
        #[arg(long, default_value_t = 1)]
        brokers: usize,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.task {
        Task::Up { brokers } => up(brokers).await,
    }
}

#[expect(clippy::print_stdout, reason = "the addresses are the result")]
async fn up(brokers: usize) -> anyhow::Result<ExitCode> {
    let stack = stack::Stack::start(stack::Options { brokers, dir: None }).await?;
    println!("export {}='{}'", stack::VARIABLE, stack.to_variable());
    signal::ctrl_c().await?;
    Ok(ExitCode::SUCCESS)
}

#[expect(
    clippy::print_stderr,
    reason = "the reason why a program for people failed"
)]
fn report(error: &anyhow::Error) {
    eprintln!("stack: {error:#}");
}
