//! `stack run` (`make run`): everything, ready to chat.

use std::{env, process::ExitCode};

use stack::{Cluster, ClusterOptions, Stack};

use super::AskedToEnd;

/// How much of everything, and where.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Gateways.
    #[arg(long, default_value_t = 3)]
    was: u16,
    /// Classifiers.
    #[arg(long, default_value_t = 2)]
    classifiers: usize,
    /// The port of the first gateway; the others follow.
    #[arg(long, default_value_t = 8081)]
    port: u16,
    /// Kafka brokers: 1 or 3.
    #[arg(long, default_value_t = 1, value_parser = crate::brokers)]
    brokers: usize,
    /// Partitions of `chat-send`.
    #[arg(long, default_value_t = 24)]
    lanes: i32,
    /// Homes.
    #[arg(long, default_value_t = 64)]
    homes: i32,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let ports: Vec<u16> = (options.port..).take(options.was.into()).collect();
    for (number, port) in (1..).zip(&ports) {
        stack::claimable(
            *port,
            &format!("was-{number}"),
            "end what listens there, or choose other ports: make run PORT=9081",
        )?;
    }
    let mut end = AskedToEnd::listen()?;
    tokio::select! {
        done = start_and_serve(&options, ports) => done,
        () = end.asked() => Ok(ExitCode::SUCCESS),
    }
}

/// Runs until dropped, by which everything ends: gateways and classifiers first, then the servers.
async fn start_and_serve(options: &Options, ports: Vec<u16>) -> anyhow::Result<ExitCode> {
    let stack = Stack::start(stack::Options {
        brokers: options.brokers,
        dir: None,
    })
    .await?;
    let space = stack.space().await?;
    let cluster = Cluster::start(
        &space,
        ClusterOptions {
            was: options.was.into(),
            classifiers: options.classifiers,
            lanes: options.lanes,
            homes: options.homes,
            was_ports: ports,
            env: Vec::new(),
        },
    )
    .await?;
    welcome(&cluster, &space);
    let ended = cluster.first_end().await;
    Err(ended.into())
}

#[expect(clippy::print_stdout, reason = "what to type next is the result")]
fn welcome(cluster: &Cluster, space: &stack::Space) {
    let urls = cluster.urls();
    let first = urls.first().map_or("", String::as_str);
    let last = urls.last().map_or("", String::as_str);
    let chat = chat_program();
    println!();
    println!("Ready. The gateways listen on {}", urls.join(", "));
    println!("Chat, in two more terminals:");
    println!("  {chat} chat --user ann --with bob --url {first}");
    println!("  {chat} chat --user bob --with ann --url {last}");
    println!("The API: {first}/v1/openapi.json");
    println!("Logs, gone at the end: {}", space.dir().display());
    println!("Ctrl-C ends everything.");
}

/// The terminal client, as one types it from here.
fn chat_program() -> String {
    let beside = env::current_exe().map(|exe| exe.with_file_name("loadtest"));
    let here = env::current_dir().unwrap_or_default();
    beside.map_or_else(
        |_| "loadtest".into(),
        |file| {
            file.strip_prefix(here)
                .unwrap_or(&file)
                .display()
                .to_string()
        },
    )
}
