//! A TCP proxy before one server. What goes through it can be held, as by a cut network; its connections can be reset, also
//! in the middle of what a client asks.

use std::{
    io,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    runtime::Handle,
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::{
    error::{Doing, Result},
    ports,
};

/// What is passed on at once; no message is larger than it has to be to be torn in two.
const CHUNK: usize = 16 * 1024;

/// Listens on a loopback port of its own and carries every connection to one server. Dropping it resets them.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    line: Arc<Line>,
    task: JoinHandle<()>,
}

/// What all connections of a proxy share.
#[derive(Debug)]
struct Line {
    server: u16,
    cut: watch::Sender<bool>,
    /// Raised at each reset: who came before it is meant.
    resets: watch::Sender<u64>,
    /// How many of the next things asked are to be torn.
    to_tear: AtomicUsize,
    torn: AtomicUsize,
}

impl Proxy {
    /// Begins to listen, in the runtime of the caller.
    ///
    /// # Errors
    /// When the port that was found free is taken in that very moment.
    pub fn before(server: u16) -> Result<Self> {
        let port = ports::free_port();
        let listener = || {
            let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        };
        let listener = listener().doing(|| format!("listen on port {port}, before {server}"))?;
        let line = Arc::new(Line {
            server,
            cut: watch::Sender::new(false),
            resets: watch::Sender::new(0),
            to_tear: AtomicUsize::new(0),
            torn: AtomicUsize::new(0),
        });
        let task = Handle::current().spawn(serve(listener, Arc::clone(&line)));
        Ok(Self { port, line, task })
    }

    /// Where it listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// From now on nothing comes through, in either direction: no byte, no end, no new connection. Nobody is told: what is
    /// written is held, and so are who connects meanwhile. (A real network would leave these without an answer at all.)
    pub fn cut(&self) {
        self.line.cut.send_replace(true);
    }

    /// What was held goes on its way, in its order.
    pub fn heal(&self) {
        self.line.cut.send_replace(false);
    }

    /// All present connections are reset (RST), at both ends.
    pub fn reset(&self) {
        self.line.resets.send_modify(|resets| *resets += 1);
    }

    /// Resets the connections of the next `count` clients that ask something, in the middle of it: in turn before the
    /// server has all of it, and when it has answered, with the answer withheld. What is left of an earlier count is
    /// forgotten; with 0 nobody is reset any more.
    pub fn tear(&self, count: usize) {
        self.line.to_tear.store(count, Relaxed);
    }

    /// How many were torn so far.
    #[must_use]
    pub fn torn(&self) -> usize {
        self.line.torn.load(Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts also while the line is cut: the kernel would anyway.
async fn serve(listener: TcpListener, line: Arc<Line>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    // Before the task: a reset from now on means this one too.
                    let resets = line.resets.subscribe();
                    connections.spawn(carry(client, Arc::clone(&line), resets));
                }
                // Out of files, most likely: who waits is accepted when one is free.
                Err(error) => {
                    tracing::warn!(%error, port = line.server, "the proxy can't accept");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(mut client: TcpStream, line: Arc<Line>, mut resets: watch::Receiver<u64>) {
    // What it carries is not to be slower for it: small answers would wait for an acknowledgement.
    _ = client.set_nodelay(true);
    let reached = tokio::select! {
        reached = reach(&line) => reached,
        _ = resets.changed() => Err(torn()),
    };
    // Nobody there: the client is refused as well, as late as that can be told.
    let Ok(mut server) = reached else {
        _ = client.set_zero_linger();
        return;
    };
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let withheld = AtomicBool::new(false);
        let both = async {
            tokio::try_join!(
                asks(from_client, to_server, &line, &withheld),
                answers(from_server, to_client, &line, &withheld),
            )
        };
        tokio::select! {
            end = both => end.map(|_| ()),
            _ = resets.changed() => Err(torn()),
        }
    };
    if end.is_err() {
        _ = client.set_zero_linger();
        _ = server.set_zero_linger();
    }
}

async fn reach(line: &Line) -> io::Result<TcpStream> {
    line.whole().await;
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, line.server)).await?;
    server.set_nodelay(true)?;
    Ok(server)
}

/// From the client to the server.
async fn asks(
    mut client: ReadHalf<'_>,
    mut server: WriteHalf<'_>,
    line: &Line,
    withheld: &AtomicBool,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = client.read(&mut chunk).await;
        // Held here: the server learns of an end as late as of anything else.
        line.whole().await;
        let asked = &chunk[..read?];
        if asked.is_empty() {
            return server.shutdown().await;
        }
        match line.next_tear() {
            None => {}
            Some(Tear::Half) => {
                server.write_all(&asked[..asked.len() / 2]).await?;
                return Err(torn());
            }
            Some(Tear::Answer) => withheld.store(true, Relaxed),
        }
        server.write_all(asked).await?;
    }
}

/// From the server to the client.
async fn answers(
    mut server: ReadHalf<'_>,
    mut client: WriteHalf<'_>,
    line: &Line,
    withheld: &AtomicBool,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = server.read(&mut chunk).await;
        line.whole().await;
        let answer = &chunk[..read?];
        if withheld.load(Relaxed) {
            return Err(torn());
        }
        if answer.is_empty() {
            return client.shutdown().await;
        }
        client.write_all(answer).await?;
    }
}

/// Where a connection is torn.
enum Tear {
    /// The server has half of what was asked.
    Half,
    /// The client does not get the answer.
    Answer,
}

impl Line {
    /// Returns while the line is not cut.
    async fn whole(&self) {
        // The sender is our own: it can't be gone.
        _ = self.cut.subscribe().wait_for(|cut| !cut).await;
    }

    fn next_tear(&self) -> Option<Tear> {
        let left = |count: usize| count.checked_sub(1);
        self.to_tear.fetch_update(Relaxed, Relaxed, left).ok()?;
        let number = self.torn.fetch_add(1, Relaxed);
        Some(if number.is_multiple_of(2) {
            Tear::Half
        } else {
            Tear::Answer
        })
    }
}

fn torn() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

#[cfg(test)]
mod tests;
