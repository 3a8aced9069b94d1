//! `loadtest`: the terminal client and the load runs.

use std::{fmt::Display, path::Path, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use loadtest::{
    BenchArgs, BreakArgs, ChatArgs, HoldArgs, IdleArgs, KubernetesArgs, RunArgs, SoakArgs,
    StormArgs,
};
use serde::Serialize;
use tracing_subscriber::EnvFilter;

/// Chats, drives, counts and judges.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Chat in the terminal.
    Chat(ChatArgs),
    /// Send at a rate and judge what arrives.
    Run(RunArgs),
    /// Measure the memory of connections, idle and after a large message each way.
    Idle(IdleArgs),
    /// Run the whole series of docs/performance.md.
    Bench(BenchArgs),
    /// Break a cluster of its own in one way after another, and count what is lost.
    Break(BreakArgs),
    /// Kill a gateway with thousands of sessions, and see them come back.
    Storm(StormArgs),
    /// Keep a cluster of its own under load for long, with a random fault each minute.
    Soak(SoakArgs),
    /// Hold a cluster of its own under load, and do to it what the lines of stdin say.
    Hold(HoldArgs),
    /// Install the chart into the cluster that KUBECONFIG names, and try it under load.
    Kubernetes(KubernetesArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .init();
    // The servers that a run starts inherit it: before anything else.
    stack::raise_open_files();
    match work(Arguments::parse().task).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// False when what was measured is not as it must be.
async fn work(task: Task) -> anyhow::Result<bool> {
    match task {
        Task::Chat(args) => loadtest::chat(&args).await.map(|()| true),
        Task::Run(args) => {
            let report = loadtest::run(&args).await?;
            tell(args.json.as_deref(), &report, &report)?;
            Ok(report.is_good())
        }
        Task::Idle(args) => {
            let report = loadtest::idle(&args).await?;
            tell(args.json.as_deref(), &report, &report)?;
            Ok(true)
        }
        Task::Bench(args) => {
            let report = loadtest::bench(&args).await?;
            tell(args.json.as_deref(), &report, &report)?;
            Ok(report.is_good())
        }
        Task::Break(args) => {
            let report = loadtest::break_it(&args).await?;
            tell(args.rounds.json.as_deref(), &report, &report.rows)?;
            picture(args.rounds.html.as_deref(), || report.page())?;
            Ok(report.is_good())
        }
        Task::Storm(args) => {
            let report = loadtest::storm(&args).await?;
            tell(args.json.as_deref(), &report, &report)?;
            Ok(report.is_good())
        }
        Task::Soak(args) => {
            let report = loadtest::soak(&args).await?;
            tell(args.json.as_deref(), &report, &report)?;
            Ok(report.is_good())
        }
        Task::Hold(args) => loadtest::hold(&args).await.map(|()| true),
        Task::Kubernetes(args) => {
            let report = loadtest::kubernetes(&args).await?;
            tell(args.rounds.json.as_deref(), &report, &report)?;
            picture(args.rounds.html.as_deref(), || report.rounds.page())?;
            Ok(report.is_good())
        }
    }
}

/// Lines for people, unless stdout is asked to be the JSON.
#[expect(clippy::print_stdout, reason = "the report is the result")]
fn tell(json: Option<&Path>, words: &impl Display, data: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(data)?;
    match json {
        Some(path) if path == Path::new("-") => println!("{text}"),
        Some(path) => {
            // First: whatever becomes of the file, somebody has seen it.
            print!("{words}");
            write("--json", path, &format!("{text}\n"))?;
        }
        None => print!("{words}"),
    }
    Ok(())
}

fn picture(html: Option<&Path>, page: impl FnOnce() -> String) -> anyhow::Result<()> {
    html.map_or(Ok(()), |path| write("--html", path, &page()))
}

fn write(flag: &str, path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("{flag}: write {}", path.display()))
}

#[expect(
    clippy::print_stderr,
    reason = "the reason why a program for people failed"
)]
fn complain(error: &anyhow::Error) {
    eprintln!("loadtest: {error:#}");
}
