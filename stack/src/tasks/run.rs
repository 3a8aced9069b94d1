//! `stack run` (`make run`): everything, ready to chat.

use std::{env, process::ExitCode, time::Duration};

use anyhow::Context as _;
use stack::{Cluster, ClusterOptions, Space, Stack};
use tokio::time::sleep;

use super::{AskedToEnd, say};

/// How much of everything, and where.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Gateways.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=500))]
    was: u16,
    /// Classifiers.
    #[arg(long, default_value_t = 2)]
    classifiers: usize,
    /// The port of the first gateway; the others follow.
    #[arg(long, default_value_t = 8081, value_parser = clap::value_parser!(u16).range(1..=65_000))]
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

/// How often it is looked whether all are there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

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
    let stack = tokio::select! {
        stack = Stack::start(stack::Options { brokers: options.brokers, ..stack::Options::default() }) => stack?,
        () = end.asked() => return Ok(ExitCode::SUCCESS),
    };
    let space = stack.space().await?;
    let done = serve(&options, ports, &stack, &space, &mut end).await;
    if done.is_err() {
        // Before the space goes, and its folder with it.
        stack.keep_logs();
    }
    done.map(|()| ExitCode::SUCCESS)
}

/// Returns when asked to end; an error when it can't go on.
async fn serve(
    options: &Options,
    ports: Vec<u16>,
    stack: &Stack,
    space: &Space,
    end: &mut AskedToEnd,
) -> anyhow::Result<()> {
    let options = ClusterOptions {
        was: options.was.into(),
        classifiers: options.classifiers,
        lanes: options.lanes,
        homes: options.homes,
        was_ports: ports,
        ..ClusterOptions::default()
    };
    let cluster = tokio::select! {
        cluster = Cluster::start(space, options) => cluster?,
        () = end.asked() => return Ok(()),
    };
    welcome(&cluster, space);
    tokio::select! {
        error = look_after(stack, &cluster) => {
            return Err(error).context("it can't go on without its servers");
        }
        () = end.asked() => say("ending; Ctrl-C again ends at once"),
    }
    tokio::select! {
        // Bounded: who has not ended in time is killed with what is left.
        stopped = cluster.stop() => {
            stopped?;
            say("all have drained");
        }
        () = end.asked() => {}
    }
    Ok(())
}

/// Starts gateways and classifiers again when they end, under the same name and port: people are invited to kill them. Returns
/// when a server has ended: nothing is stored or delivered without it, and its data is gone.
async fn look_after(stack: &Stack, cluster: &Cluster) -> stack::Error {
    loop {
        for server in stack.servers() {
            if let Err(ended) = server.check_alive() {
                return ended;
            }
        }
        for service in cluster.services() {
            if let Some(status) = service.ended() {
                say(format_args!(
                    "{} ended ({status}); it is started again",
                    service.name()
                ));
                if let Err(error) = service.start() {
                    return error;
                }
            }
        }
        sleep(LOOK_EVERY).await;
    }
}

#[expect(clippy::print_stdout, reason = "what to type next is the result")]
fn welcome(cluster: &Cluster, space: &Space) {
    let urls = cluster.urls();
    let chat = chat_program();
    // Each begins at another gateway, and knows the others for when that one is gone.
    let mut rotated = urls.clone();
    rotated.rotate_right(1);
    println!();
    println!("Ready. The gateways listen on {}", urls.join(", "));
    println!("Chat, in two more terminals:");
    println!(
        "  {chat} chat --user ann --with bob --url {}",
        urls.join(",")
    );
    println!(
        "  {chat} chat --user bob --with ann --url {}",
        rotated.join(",")
    );
    println!("The API: {}/v1/openapi.json", urls[0]);
    println!(
        "Logs, gone at the end: {}",
        stack::from_here(space.dir()).display()
    );
    println!("Ctrl-C ends everything.");
}

/// The terminal client, as one types it from here.
fn chat_program() -> String {
    let exe = env::current_exe().unwrap_or_default();
    let chat = exe.with_file_name("loadtest");
    stack::from_here(&chat).display().to_string()
}
