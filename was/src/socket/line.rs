//! A WebSocket that keeps no buffers while nothing happens (trap 14).
//!
//! tungstenite's buffers keep the size of the largest that they ever held, and most sockets are idle
//! most of the time. So its context, with all buffers, is made when bytes come or a frame is to be
//! sent, and let go as soon as the line rests: between two messages, all read and all flushed. What
//! an idle line keeps is its stream and its place, whatever has gone over it.

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use protocol::MAX_FRAME_BYTES;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

use super::place::Place;

/// How much is read at once.
const READ: usize = 4 * 1024;

/// The server's end of a WebSocket, after the handshake.
#[derive(Debug)]
pub(super) struct Line<S> {
    stream: S,
    place: Place,
    /// None while the line rests.
    awake: Option<Box<Awake>>,
}

/// What a line has while it does not rest.
#[derive(Debug)]
struct Awake {
    context: WebSocketContext,
    /// Since when the client is in the middle of one message.
    midway: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    /// A line over a stream of which `begun` was read already.
    pub(super) fn new(stream: S, begun: &[u8]) -> Self {
        let mut place = Place::default();
        place.follow(begun);
        Self {
            stream,
            place,
            awake: (!begun.is_empty()).then(|| awake(begun.to_vec())),
        }
    }

    /// Since when the client is in the middle of the message that it sends now, as far as was noticed.
    pub(super) fn midway_since(&self) -> Option<Instant> {
        self.awake.as_ref()?.midway
    }

    /// The next message. Cancel-safe: a message that is not returned yet is not lost.
    pub(super) async fn next(&mut self) -> Result<Message, Error> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Error>> {
        if self.awake.is_none() {
            let mut space = [const { MaybeUninit::uninit() }; READ];
            let mut begun = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut begun))?;
            let begun = begun.filled();
            if begun.is_empty() {
                let ended = ProtocolError::ResetWithoutClosingHandshake;
                return Poll::Ready(Err(ended.into()));
            }
            self.place.follow(begun);
            self.awake = Some(awake(begun.to_vec()));
        }
        let read = ready_of(self.with(cx, |context, stream| context.read(stream)));
        if let Poll::Ready(message) = read {
            // Control frames come between the fragments of a message: they don't end it.
            let whole = matches!(message, Ok(Message::Text(_) | Message::Binary(_)));
            if let Some(awake) = self.awake.as_mut().filter(|_| whole) {
                awake.midway = None;
            }
            return Poll::Ready(message);
        }
        let between = self.place.is_between();
        if let Some(awake) = self.awake.as_mut().filter(|_| !between) {
            awake.midway.get_or_insert_with(Instant::now);
        }
        // All that came is taken in, and whoever waits for more is woken by it. Answers to pings
        // leave before the line rests.
        if let Poll::Ready(flushed) =
            ready_of(self.with(cx, |context, stream| context.flush(stream)))
        {
            flushed?;
            let open = |awake: &Awake| awake.context.can_write();
            if between && self.awake.as_deref().is_some_and(open) {
                self.awake = None;
            }
        }
        Poll::Pending
    }

    /// Queues a message; waits only while the buffer is full.
    pub(super) async fn feed(&mut self, message: Message) -> Result<(), Error> {
        let mut message = Some(message);
        poll_fn(|cx| {
            ready_of(self.with(cx, |context, stream| match message.take() {
                // It is queued even if this would block.
                Some(message) => context.write(stream, message),
                None => context.flush(stream),
            }))
        })
        .await
    }

    /// Waits until all that was queued has left.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| ready_of(self.with(cx, |context, stream| context.flush(stream)))).await
    }

    /// Takes in and forgets what still comes, until the stream ends.
    pub(super) async fn drain(&mut self) {
        poll_fn(|cx| {
            loop {
                let mut space = [const { MaybeUninit::uninit() }; READ];
                let mut rest = ReadBuf::uninit(&mut space);
                let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut rest));
                if read.is_err() || rest.filled().is_empty() {
                    return Poll::Ready(());
                }
            }
        })
        .await;
    }

    fn with<T>(
        &mut self,
        cx: &mut Context<'_>,
        act: impl FnOnce(&mut WebSocketContext, &mut Polled<'_, '_, S>) -> T,
    ) -> T {
        let mut stream = Polled {
            stream: &mut self.stream,
            place: &mut self.place,
            cx,
        };
        let awake = self.awake.get_or_insert_with(|| awake(Vec::new()));
        act(&mut awake.context, &mut stream)
    }

    #[cfg(test)]
    pub(super) fn rests(&self) -> bool {
        self.awake.is_none()
    }
}

fn awake(begun: Vec<u8>) -> Box<Awake> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ)
        .write_buffer_size(8 * 1024)
        .max_write_buffer_size(64 * 1024)
        .max_frame_size(Some(MAX_FRAME_BYTES))
        .max_message_size(Some(MAX_FRAME_BYTES));
    Box::new(Awake {
        context: WebSocketContext::from_partially_read(begun, Role::Server, Some(config)),
        midway: None,
    })
}

/// What would block is pending.
fn ready_of<T>(result: Result<T, Error>) -> Poll<Result<T, Error>> {
    match result {
        Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
        other => Poll::Ready(other),
    }
}

/// A stream as tungstenite wants it, for one poll: what is pending would block, and wakes the task.
struct Polled<'a, 'cx, S> {
    stream: &'a mut S,
    place: &'a mut Place,
    cx: &'a mut Context<'cx>,
}

fn or_block<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

impl<S: AsyncRead + Unpin> Read for Polled<'_, '_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(buf);
        or_block(Pin::new(&mut *self.stream).poll_read(self.cx, &mut buf))?;
        self.place.follow(buf.filled());
        Ok(buf.filled().len())
    }
}

impl<S: AsyncWrite + Unpin> Write for Polled<'_, '_, S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        or_block(Pin::new(&mut *self.stream).poll_write(self.cx, buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        or_block(Pin::new(&mut *self.stream).poll_flush(self.cx))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    use super::*;
    use crate::socket::fragment::pieces;

    async fn lines(space: usize) -> (Line<DuplexStream>, WebSocketStream<DuplexStream>) {
        let (server, client) = duplex(space);
        let client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        (Line::new(server, &[]), client)
    }

    /// Reads until nothing more is there.
    fn all(line: &mut Line<DuplexStream>) -> Vec<Message> {
        std::iter::from_fn(|| line.next().now_or_never().map(Result::unwrap)).collect()
    }

    /// Trap 14: nothing is kept after a large message in, whole or in fragments, nor after a
    /// burst of messages or a large one out.
    #[tokio::test]
    async fn trap_14_a_line_that_rests_keeps_no_buffers() {
        let (mut line, mut client) = lines(1 << 22).await;
        let large = "x".repeat(100_000);
        client.send(Message::text(large.clone())).await.unwrap();
        assert_eq!(all(&mut line), [Message::text(large.clone())]);
        assert!(line.rests(), "after a large message");

        for piece in pieces(Bytes::from(large.clone())) {
            client.send(piece).await.unwrap();
        }
        client.send(Message::text("next")).await.unwrap();
        let came = all(&mut line);
        assert_eq!(came, [Message::text(large.clone()), Message::text("next")]);
        assert!(line.rests(), "after fragments");

        for _ in 0..30 {
            line.feed(Message::text("y".repeat(500))).await.unwrap();
        }
        for piece in pieces(Bytes::from(large)) {
            line.feed(piece).await.unwrap();
        }
        line.flush().await.unwrap();
        assert!(all(&mut line).is_empty());
        assert!(line.rests(), "after a burst");
        for _ in 0..31 {
            assert!(client.next().await.unwrap().unwrap().is_text());
        }
    }

    /// Nothing is forgotten by a rest: not in the middle of a frame, not between fragments.
    #[tokio::test]
    async fn a_line_rests_only_between_messages() {
        let (server, mut client) = duplex(1 << 16);
        let mut bytes = Vec::new();
        for (kind, last) in [(Data::Text, false), (Data::Continue, true)] {
            let mut frame = Frame::message(vec![b'x'; 200], OpCode::Data(kind), last);
            frame.header_mut().mask = Some([0; 4]);
            frame.format(&mut bytes).unwrap();
        }
        let mut line = Line::new(server, &bytes[..3]);
        for byte in &bytes[3..] {
            assert!(all(&mut line).is_empty());
            assert!(!line.rests());
            client.write_all(&[*byte]).await.unwrap();
        }
        assert_eq!(all(&mut line), [Message::text("x".repeat(400))]);
        assert!(line.rests());
    }

    /// I9: a message that never ends is known from how long it takes, whatever comes between its fragments;
    /// of messages that follow each other closely each has its own time.
    #[tokio::test]
    async fn i9_how_long_one_message_takes_is_known() {
        let (mut line, mut client) = lines(1 << 16).await;
        let fragment = |kind, last| {
            let data = OpCode::Data(kind);
            Message::Frame(Frame::message("x", data, last))
        };
        client.send(Message::text("whole")).await.unwrap();
        all(&mut line);
        assert_eq!(line.midway_since(), None);
        client.send(fragment(Data::Text, false)).await.unwrap();
        all(&mut line);
        let since = line.midway_since();
        assert!(since.is_some());
        for _ in 0..3 {
            client.send(Message::Ping(Bytes::new())).await.unwrap();
            client.send(fragment(Data::Continue, false)).await.unwrap();
            assert_eq!(all(&mut line).len(), 1, "a ping");
            assert_eq!(line.midway_since(), since);
        }
        // Its end, and the next one's beginning, read at once.
        client.feed(fragment(Data::Continue, true)).await.unwrap();
        client.feed(fragment(Data::Text, false)).await.unwrap();
        client.flush().await.unwrap();
        assert_eq!(all(&mut line), [Message::text("xxxxx")]);
        assert!(line.midway_since() > since, "another one");
        client.send(fragment(Data::Continue, true)).await.unwrap();
        all(&mut line);
        assert_eq!(line.midway_since(), None);
    }

    /// A ping is answered although nobody writes, and before the line rests, however full the way is.
    #[tokio::test]
    async fn an_answer_to_a_ping_is_not_forgotten() {
        let (mut line, client) = lines(64).await;
        let mut client = client;
        line.feed(Message::text("z".repeat(55))).await.unwrap();
        line.flush().await.unwrap();
        client
            .send(Message::Ping(Bytes::from_static(b"there?")))
            .await
            .unwrap();
        assert_eq!(all(&mut line).len(), 1);
        assert!(!line.rests(), "the answer did not fit yet");
        assert!(client.next().await.unwrap().unwrap().is_text());
        assert!(all(&mut line).is_empty());
        assert!(line.rests());
        let pong = tokio::time::timeout(Duration::from_secs(60), client.next()).await;
        assert!(pong.unwrap().unwrap().unwrap().is_pong());
    }

    /// Whoever waits is woken, also when the line rested while it waited.
    #[tokio::test]
    async fn who_waits_is_woken() {
        let (mut line, mut client) = lines(1 << 16).await;
        let waiting = tokio::spawn(async move {
            let mut came = Vec::new();
            while let Ok(message) = line.next().await {
                came.push(message);
            }
            came.len()
        });
        for n in 0..100 {
            client.send(Message::text(n.to_string())).await.unwrap();
            tokio::task::yield_now().await;
        }
        drop(client);
        let count = tokio::time::timeout(Duration::from_secs(60), waiting).await;
        assert_eq!(count.unwrap().unwrap(), 100);
    }
}
