//! A stream that hands out frames' heads before their payloads.
//!
//! tungstenite makes room for a whole payload on top of what it has read already. Had it read a
//! kilobyte ahead, that kilobyte would stay free behind a large payload, later frames would be read
//! into it, and so keep the large memory alive (trap 14). So the head is handed out with at most a
//! few bytes of what follows, and a payload never with what follows it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest head of a frame: opcode, length, mask (RFC 6455 §5.2).
const HEAD: usize = 14;

/// Where in a frame the stream is.
#[derive(Debug, Default)]
struct Place {
    head: [u8; HEAD],
    /// How much of the head is known.
    known: usize,
    /// How much of the payload is still to come.
    payload: u64,
}

impl Place {
    /// How many bytes may be handed out now.
    fn most(&self) -> usize {
        if self.payload > 0 {
            usize::try_from(self.payload).unwrap_or(usize::MAX)
        } else {
            HEAD
        }
    }

    /// Follows bytes that were handed out.
    fn follow(&mut self, mut bytes: &[u8]) {
        while let Some((&first, rest)) = bytes.split_first() {
            if self.payload > 0 {
                let taken = bytes.len().min(self.most());
                self.payload -= taken as u64;
                bytes = &bytes[taken..];
                continue;
            }
            self.head[self.known] = first;
            self.known += 1;
            bytes = rest;
            if self.known == self.head_len() {
                self.payload = self.payload_len();
                self.known = 0;
            }
        }
    }

    fn head_len(&self) -> usize {
        if self.known < 2 {
            return 2;
        }
        let extended = match self.head[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.head[1] & 0x80 == 0 { 0 } else { 4 };
        2 + extended + mask
    }

    fn payload_len(&self) -> u64 {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, &b| n << 8 | u64::from(b));
        match self.head[1] & 0x7f {
            126 => number(&self.head[2..4]),
            127 => number(&self.head[2..10]),
            len => u64::from(len),
        }
    }
}

/// A stream of client frames, read frame by frame.
#[derive(Debug)]
pub(super) struct Measured<S> {
    stream: S,
    place: Place,
}

impl<S> Measured<S> {
    /// A stream that stands at the beginning of a frame, but for `begun`, which was read already.
    pub(super) fn new(stream: S, begun: &[u8]) -> Self {
        let mut place = Place::default();
        place.follow(begun);
        Self { stream, place }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Measured<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = self.place.most().min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        let taken = part.filled().len();
        self.place.follow(part.filled());
        buf.advance(taken);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Measured<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt as _;
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    use super::*;

    /// Frames as a client sends them, and where each ends.
    fn wire(lengths: &[usize]) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for &length in lengths {
            let payload = vec![b'x'; length];
            let mut frame = Frame::message(payload, OpCode::Data(Data::Binary), true);
            frame.header_mut().mask = Some([1, 2, 3, 4]);
            frame.format(&mut bytes).unwrap();
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    proptest! {
        /// Trap 14: whatever the lengths and however much was read before, all bytes come, and a
        /// large payload never together with more than a head of what follows it.
        #[test]
        fn trap_14_nothing_is_read_far_ahead(
            lengths in prop::collection::vec(prop_oneof![0usize..200, 60_000usize..70_000], 1..8),
            begun in 0usize..300,
        ) {
            let (bytes, ends) = wire(&lengths);
            let begun = begun.min(bytes.len());
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (read, ahead) = runtime.block_on(async {
                let mut stream = Measured::new(&bytes[begun..], &bytes[..begun]);
                let (mut read, mut ahead) = (bytes[..begun].to_vec(), 0);
                let mut buffer = [0; 1024];
                loop {
                    let before = read.len();
                    let taken = stream.read(&mut buffer).await.unwrap();
                    if taken == 0 {
                        return (read, ahead);
                    }
                    read.extend_from_slice(&buffer[..taken]);
                    if let Some(end) = ends.iter().find(|&&end| before < end && end < read.len()) {
                        ahead = ahead.max(read.len() - end);
                    }
                }
            });
            prop_assert_eq!(read, bytes);
            prop_assert!(ahead <= HEAD, "{} bytes ahead", ahead);
        }
    }
}
