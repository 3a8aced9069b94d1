//! What is done with the servers once they run.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{MASTER, RedisServers};
use crate::{
    error::Result,
    inline::{line, lines, refused},
    server::Server,
};

/// How long a replica may take to follow: its sentinels wait for some seconds before they tell one that was the primary
/// that it is no more.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(30);

impl RedisServers {
    /// Those that have keys, from 0: the one; the nodes, the one with the table of homes first; or the primary of the
    /// beginning and its replica.
    #[must_use]
    pub fn all(&self) -> &[Server] {
        &self.servers
    }

    /// The sentinels, from 0.
    #[must_use]
    pub fn sentinels(&self) -> &[Server] {
        &self.sentinels
    }

    /// `redis.url`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same over TLS, where they listen for it: one server does, others when they were started so.
    #[must_use]
    pub fn tls_url(&self) -> Option<&str> {
        self.tls_url.as_deref()
    }

    /// Where each of those with keys is, in their order.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        let url = |port| format!("redis://127.0.0.1:{port}");
        self.ports.iter().map(url).collect()
    }

    /// What the sentinels call the primary: `redis.sentinel_master`.
    #[must_use]
    pub const fn master() -> &'static str {
        MASTER
    }

    /// The one to write to: that which the sentinels name where there are any, else the first.
    ///
    /// # Errors
    /// When no sentinel answers with one of the servers.
    pub async fn primary(&self) -> Result<&Server> {
        self.primary_at().await.map(|(server, _)| server)
    }

    async fn primary_at(&self) -> Result<(&Server, u16)> {
        let command = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {MASTER}");
        let servers = || self.servers.iter().zip(self.ports.iter().copied());
        let mut last = None;
        for port in &self.sentinel_ports {
            // How many, a length, the address, a length, the port.
            let answer = lines(*port, &command, 5).await;
            let named = answer
                .as_ref()
                .ok()
                .and_then(|lines| lines.last()?.parse().ok());
            // By TLS they are known by another port.
            let at = |ports: &[u16]| ports.iter().position(|port| Some(*port) == named);
            let found = at(&self.ports).or_else(|| at(&self.tls_ports));
            if let Some(found) = found.and_then(|at| servers().nth(at)) {
                return Ok(found);
            }
            last = Some(match answer {
                Ok(lines) => refused(&command, lines.join(" ")),
                Err(error) => error,
            });
        }
        match (last, servers().next()) {
            (None, Some(first)) => Ok(first),
            (Some(error), _) => Err(error),
            (None, None) => Err(refused(&command, "there is no server".to_owned())),
        }
    }

    /// Waits until the primary has its replica again, where it is to have one.
    ///
    /// # Errors
    /// When it has none in time.
    pub async fn followed(&self) -> Result<()> {
        if self.sentinels.is_empty() {
            return Ok(());
        }
        let deadline = Instant::now() + FOLLOWED_WITHIN;
        loop {
            let (_, port) = self.primary_at().await?;
            // The length, a heading, the role, how many replicas, the first of them.
            let told = lines(port, "INFO replication", 5).await;
            match told {
                Ok(lines) if lines.iter().any(|line| line.contains("state=online")) => {
                    return Ok(());
                }
                Ok(lines) if Instant::now() > deadline => {
                    return Err(refused("have a replica", lines.join(" ")));
                }
                Err(error) if Instant::now() > deadline => return Err(error),
                _ => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Ends every connection that hears what is published; says how many.
    ///
    /// # Errors
    /// When one does not answer, or not with a number.
    pub async fn end_subscribers(&self) -> Result<u64> {
        let command = "CLIENT KILL TYPE pubsub";
        let mut ended = 0;
        for port in &self.ports {
            let answer = line(*port, command).await?;
            let count = answer.strip_prefix(':');
            let count: Option<u64> = count.and_then(|count| count.parse().ok());
            ended += count.ok_or_else(|| refused(command, answer))?;
        }
        Ok(ended)
    }

    /// All of them forget everything: `FLUSHALL`.
    ///
    /// # Errors
    /// When one does not answer, or not with `OK`.
    pub async fn flush(&self) -> Result<()> {
        for port in &self.ports {
            let answer = line(*port, "FLUSHALL").await?;
            // A replica follows its primary in this, too.
            if answer != "+OK" && !answer.starts_with("-READONLY") {
                return Err(refused("FLUSHALL", answer));
            }
        }
        Ok(())
    }
}
