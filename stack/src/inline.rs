//! Inline commands to Redis: a line each, answered by lines.

use std::time::Duration;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

use crate::error::{Doing, Error, Result};

/// How long a server may take to obey.
const PATIENCE: Duration = Duration::from_secs(30);

/// The first line of its answer.
pub(crate) async fn line(port: u16, command: &str) -> Result<String> {
    Ok(lines(port, command, 1).await?.concat())
}

/// The first lines of its answer; one if it is an error.
pub(crate) async fn lines(port: u16, command: &str, count: usize) -> Result<Vec<String>> {
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .await?;
        let (mut answer, mut lines) = (BufReader::new(stream), Vec::<String>::new());
        while lines.len() < count && !lines.first().is_some_and(|line| line.starts_with('-')) {
            let mut line = String::new();
            if answer.read_line(&mut line).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            lines.push(line.trim_end().to_owned());
        }
        Ok(lines)
    };
    timeout(PATIENCE, exchange)
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
        .doing(|| format!("ask Redis for {command}"))
}

/// It answered with something else.
pub(crate) fn refused(command: &str, answer: String) -> Error {
    Error::Io {
        what: format!("make Redis do {command}"),
        source: std::io::Error::other(answer),
    }
}
