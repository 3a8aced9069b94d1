//! Questions that a server answers only when it is ready to work: an open port is not enough.

use std::time::Duration;

use crate::servers::redis::MASTER;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// What to ask, and where.
#[derive(Debug, Clone)]
pub(crate) enum Probe {
    /// Kafka's Metadata request, answered by at least `brokers` brokers.
    Kafka { port: u16, brokers: i32 },
    /// Postgres's start-up message, answered by "authenticated".
    Postgres { port: u16 },
    /// Redis's PING.
    Redis { port: u16 },
    /// `CLUSTER INFO`, answered with the state "ok".
    RedisCluster { port: u16 },
    /// A sentinel that knows a live primary, its replica and so many other sentinels.
    Sentinel { port: u16, others: usize },
    /// `GET /readyz` answered with 200.
    Readyz { port: u16 },
}

impl Probe {
    /// Asks once; the error is what was seen instead.
    pub(crate) async fn ask(&self) -> Result<(), String> {
        match timeout(Duration::from_secs(1), self.exchange()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer within 1 s".into()),
        }
    }

    async fn exchange(&self) -> std::io::Result<Result<(), String>> {
        match *self {
            Self::Kafka { port, brokers } => kafka(port, brokers).await,
            Self::Postgres { port } => postgres(port).await,
            Self::Redis { port } => redis(port).await,
            Self::RedisCluster { port } => redis_cluster(port).await,
            Self::Sentinel { port, others } => sentinel(port, others).await,
            Self::Readyz { port } => readyz(port).await,
        }
    }
}

async fn connect(port: u16) -> std::io::Result<TcpStream> {
    TcpStream::connect(("127.0.0.1", port)).await
}

/// Metadata, version 4: i32 length, i16 api 3, i16 version, i32 correlation, i16 −1 (no client id), i32 0 (no topics),
/// u8 0 (create none). The answer: i32 length, i32 correlation, i32 throttle, i32 number of brokers, …
async fn kafka(port: u16, brokers: i32) -> std::io::Result<Result<(), String>> {
    const REQUEST: [u8; 19] = [
        0, 0, 0, 15, 0, 3, 0, 4, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0, 0,
    ];
    let mut stream = connect(port).await?;
    stream.write_all(&REQUEST).await?;
    let mut head = [0; 16];
    stream.read_exact(&mut head).await?;
    let known = i32::from_be_bytes([head[12], head[13], head[14], head[15]]);
    Ok(if known >= brokers {
        Ok(())
    } else {
        Err(format!("{known} of {brokers} brokers are in the cluster"))
    })
}

/// Protocol 3.0 with user and database `postgres`; `R` is "authentication", `E` (starting up, recovering) an error.
async fn postgres(port: u16) -> std::io::Result<Result<(), String>> {
    const PARAMETERS: &[u8] = b"user\0postgres\0database\0postgres\0\0";
    let length = u32::try_from(PARAMETERS.len() + 8).unwrap_or(u32::MAX);
    let mut stream = connect(port).await?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(&196_608_u32.to_be_bytes()).await?;
    stream.write_all(PARAMETERS).await?;
    let answer = stream.read_u8().await?;
    Ok(if answer == b'R' {
        Ok(())
    } else {
        Err("it is starting up".into())
    })
}

async fn redis(port: u16) -> std::io::Result<Result<(), String>> {
    let mut stream = connect(port).await?;
    stream.write_all(b"PING\r\n").await?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await?;
    Ok(if &answer == b"+PONG" {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&answer).into_owned())
    })
}

/// An inline command, and what comes until it ends with an empty line or `end`.
async fn until(port: u16, command: &str, end: &str) -> std::io::Result<String> {
    let mut stream = connect(port).await?;
    stream
        .write_all(format!("{command}\r\n").as_bytes())
        .await?;
    let (mut answer, mut part) = (String::new(), [0; 4096]);
    while !answer.contains(end) && !answer.starts_with('-') {
        let read = stream.read(&mut part).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        answer += &String::from_utf8_lossy(&part[..read]);
    }
    Ok(answer)
}

async fn redis_cluster(port: u16) -> std::io::Result<Result<(), String>> {
    let answer = until(port, "CLUSTER INFO", "cluster_my_epoch").await?;
    let state = answer
        .lines()
        .find(|line| line.starts_with("cluster_state"));
    Ok(match state {
        Some("cluster_state:ok") => Ok(()),
        state => Err(state.unwrap_or(&answer).to_owned()),
    })
}

/// Names and values by turns, each in two lines: its length, and itself.
async fn sentinel(port: u16, others: usize) -> std::io::Result<Result<(), String>> {
    let command = format!("SENTINEL MASTER {MASTER}");
    // The last of all.
    let answer = until(port, &command, "parallel-syncs\r\n").await?;
    let lines: Vec<&str> = answer.lines().collect();
    let fact = |name: &str| {
        let at = lines.iter().position(|line| *line == name)?;
        lines.get(at + 2).copied()
    };
    let others = others.to_string();
    for (name, expected) in [
        ("flags", "master"),
        ("num-slaves", "1"),
        ("num-other-sentinels", others.as_str()),
    ] {
        if fact(name) != Some(expected) {
            let found = fact(name).unwrap_or(&answer);
            return Ok(Err(format!("{name} is {found}, not {expected}")));
        }
    }
    Ok(Ok(()))
}

async fn readyz(port: u16) -> std::io::Result<Result<(), String>> {
    let mut stream = connect(port).await?;
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    Ok(if answer.starts_with("HTTP/1.1 200") {
        Ok(())
    } else {
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or(&answer);
        Err(body.trim().to_owned())
    })
}
