//! The webhook of a run's own push worker: it takes every push and remembers whom it told of what.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use protocol::{RoomId, Seq, UserId};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

use crate::scenario::lock;

/// What it is signed with; nobody here checks it.
pub(crate) const SECRET: &str = "not checked here, but long enough to be one";
/// How long its push worker waits for somebody to come back. Who is away in a round is away for good: there is nobody to
/// wait for.
pub(crate) const WAIT: &str = "1s";
/// No request of a push worker is as large.
const MOST: usize = 16 << 20;

/// Listens until it is dropped.
pub(crate) struct Hook {
    /// Where push workers find it.
    url: String,
    told: Arc<Told>,
    _task: AbortOnDropHandle<()>,
}

/// Whom it was told of, by room.
#[derive(Default)]
struct Told(Mutex<HashMap<RoomId, HashSet<(UserId, Seq)>>>);

/// A request's body, as far as it is looked at.
#[derive(Deserialize)]
struct Push {
    user: UserId,
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    room: RoomId,
    seq: Seq,
}

impl Hook {
    /// At a free port, for push workers on this machine.
    pub(crate) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}/", listener.local_addr()?);
        Ok(Self::on(listener, url))
    }

    /// Where somebody listens already; push workers find it at `url`.
    pub(crate) fn on(listener: TcpListener, url: String) -> Self {
        let told = Arc::new(Told::default());
        let task = tokio::spawn(serve(listener, Arc::clone(&told)));
        Self {
            url,
            told,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Where push workers find it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The settings of a push worker that tells here.
    pub(crate) fn env(&self) -> Vec<(String, String)> {
        [
            ("SWITCHBOARD_PUSH_WEBHOOK_URL", self.url()),
            ("SWITCHBOARD_PUSH_WEBHOOK_SECRET", SECRET),
            ("SWITCHBOARD_PUSH_WAIT", WAIT),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    /// Who was told of what in a room, each pair once.
    pub(crate) fn told_in(&self, room: RoomId) -> HashSet<(UserId, Seq)> {
        lock(&self.told.0).get(&room).cloned().unwrap_or_default()
    }

    /// Whether it was told of anything that it has not forgotten.
    pub(crate) fn was_told(&self) -> bool {
        !lock(&self.told.0).is_empty()
    }

    /// Forgets a room: its round is over.
    pub(crate) fn forget(&self, room: RoomId) {
        lock(&self.told.0).remove(&room);
    }
}

async fn serve(listener: TcpListener, told: Arc<Told>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let told = Arc::clone(&told);
                connections.spawn(async move {
                    if let Err(error) = answer(stream, &told).await {
                        tracing::debug!(%error, "a push worker's connection");
                    }
                });
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Requests one after another, each with its length, as HTTP/1.1 clients send them.
async fn answer(stream: TcpStream, told: &Told) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(length) = head(&mut stream).await? {
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let status = match serde_json::from_slice::<Push>(&body) {
            Ok(push) => {
                told.add(&push);
                "200 OK"
            }
            Err(error) => {
                tracing::warn!(%error, "a push that can't be read");
                "400 Bad Request"
            }
        };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

/// The length of the body that follows; none at the end of the connection.
async fn head(stream: &mut BufReader<TcpStream>) -> io::Result<Option<usize>> {
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let header = line.trim_end();
        if header.is_empty() {
            return Ok(Some(length));
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            let told = value.trim().parse().ok().filter(|length| *length <= MOST);
            length = told.ok_or(io::ErrorKind::InvalidData)?;
        }
    }
}

impl Told {
    fn add(&self, push: &Push) {
        let mut rooms = lock(&self.0);
        for message in &push.messages {
            let pair = (push.user, message.seq);
            rooms.entry(message.room).or_default().insert(pair);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn remembers_each_pair_once_over_one_connection() {
        let hook = Hook::start().await.unwrap();
        assert!(!hook.was_told());
        let host = hook.url().strip_prefix("http://").unwrap();
        let host = host.strip_suffix('/').unwrap();
        let mut stream = TcpStream::connect(host).await.unwrap();
        let body = r#"{"user":3,"messages":[{"room":7,"seq":1,"sender":1},{"room":7,"seq":2}]}"#;
        for body in [body, body, "{}"] {
            let length = body.len();
            let request =
                format!("POST / HTTP/1.1\r\nhost: x\r\nContent-Length: {length}\r\n\r\n{body}");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            let wanted: &[u8] = if body == "{}" {
                b"HTTP/1.1 400"
            } else {
                b"HTTP/1.1 200"
            };
            assert_eq!(answer, wanted);
            let mut reader = BufReader::new(&mut stream);
            let mut rest = String::new();
            while rest != "\r\n" {
                rest.clear();
                reader.read_line(&mut rest).await.unwrap();
            }
        }
        let (user, room) = (UserId::new(3).unwrap(), RoomId::new(7).unwrap());
        let told = hook.told_in(room);
        assert_eq!(told.len(), 2);
        assert!(told.contains(&(user, Seq::ZERO.next())));
        assert!(hook.was_told());
        hook.forget(room);
        assert!(!hook.was_told() && hook.told_in(room).is_empty());
    }
}
