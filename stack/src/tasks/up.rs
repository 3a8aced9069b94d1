//! `stack up`: only the servers.

use std::process::ExitCode;

use super::AskedToEnd;

/// Prints the line by which a shell makes `cargo test` use these servers.
#[expect(clippy::print_stdout, reason = "the addresses are the result")]
pub(crate) async fn up(brokers: usize) -> anyhow::Result<ExitCode> {
    let mut end = AskedToEnd::listen()?;
    let stack = tokio::select! {
        stack = stack::Stack::start(stack::Options { brokers, ..stack::Options::shared() }) => stack?,
        () = end.asked() => return Ok(ExitCode::FAILURE),
    };
    println!("export {}='{}'", stack::VARIABLE, stack.to_variable());
    end.asked().await;
    Ok(ExitCode::SUCCESS)
}
