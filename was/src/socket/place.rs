//! Where in a client's frames the bytes read so far end.

/// The longest head of a frame: opcode, length, mask (RFC 6455 §5.2).
const HEAD: usize = 14;

/// Follows the bytes of a stream of frames.
#[derive(Debug, Default)]
pub(super) struct Place {
    head: [u8; HEAD],
    /// How much of the head is known.
    known: u8,
    /// A message has begun whose last fragment has not.
    midway: bool,
    /// How much of the payload is still to come.
    payload: u64,
}

impl Place {
    /// Between two messages: nothing of a frame and no fragment is outstanding.
    pub(super) fn is_between(&self) -> bool {
        self.known == 0 && self.payload == 0 && !self.midway
    }

    /// Follows bytes that were read.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while let Some((&first, rest)) = bytes.split_first() {
            if self.payload > 0 {
                let most = usize::try_from(self.payload).unwrap_or(usize::MAX);
                let taken = bytes.len().min(most);
                self.payload -= taken as u64;
                bytes = &bytes[taken..];
                continue;
            }
            self.head[usize::from(self.known)] = first;
            self.known += 1;
            bytes = rest;
            if self.known == self.head_len() {
                self.payload = self.payload_len();
                self.known = 0;
                // Control frames come between fragments and are none themselves.
                if self.head[0] & 0x08 == 0 {
                    self.midway = self.head[0] & 0x80 == 0;
                }
            }
        }
    }

    fn head_len(&self) -> u8 {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    use super::*;

    /// Messages as a client sends them, each in fragments with a ping before each, and where each
    /// message ends.
    fn wire(messages: &[Vec<usize>]) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (Vec::new(), vec![0]);
        let put = |mut frame: Frame, bytes: &mut Vec<u8>| {
            frame.header_mut().mask = Some([1, 2, 3, 4]);
            frame.format(bytes).unwrap();
        };
        for fragments in messages {
            for (i, &length) in fragments.iter().enumerate() {
                put(Frame::ping(vec![b'x'; 7]), &mut bytes);
                if i == 0 {
                    ends.push(bytes.len());
                }
                let kind = if i == 0 { Data::Text } else { Data::Continue };
                let last = i + 1 == fragments.len();
                let payload = vec![b'x'; length];
                put(
                    Frame::message(payload, OpCode::Data(kind), last),
                    &mut bytes,
                );
            }
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    proptest! {
        /// Trap 14: between messages exactly where one is, however the bytes are cut.
        #[test]
        fn trap_14_between_messages_is_known(
            messages in prop::collection::vec(
                prop::collection::vec(prop_oneof![0usize..200, 65_000usize..66_000], 1..4),
                1..5,
            ),
            cuts in prop::collection::vec(1usize..3_000, 1..50),
        ) {
            let (bytes, ends) = wire(&messages);
            let (mut place, mut at) = (Place::default(), 0);
            for cut in cuts.iter().cycle() {
                prop_assert_eq!(place.is_between(), ends.contains(&at), "at {}", at);
                if at == bytes.len() {
                    break;
                }
                let to = (at + cut).min(bytes.len());
                place.follow(&bytes[at..to]);
                at = to;
            }
        }
    }
}
