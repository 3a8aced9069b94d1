//! Frames as they leave: unchecked bytes in, WebSocket frames out, large ones in pieces.
//!
//! tungstenite copies a frame into its write buffer (trap 14): pieces of 4 KiB keep that small also
//! while a slow client takes its time. Whole [`Frame`]s rather than texts also spare a check
//! of UTF-8 on every socket for bytes that were checked when they were made.

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// The largest piece.
pub(super) const PIECE: usize = 4096;

/// The pieces of one text frame, in order.
pub(super) fn pieces(frame: Bytes) -> impl Iterator<Item = Message> {
    let mut rest = Some(frame);
    let mut kind = Data::Text;
    std::iter::from_fn(move || {
        let mut piece = rest.take()?;
        if piece.len() > PIECE {
            rest = Some(piece.split_off(PIECE));
        }
        let opcode = OpCode::Data(std::mem::replace(&mut kind, Data::Continue));
        Some(Message::Frame(Frame::message(
            piece,
            opcode,
            rest.is_none(),
        )))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Trap 14: no piece is larger than the bound, only the last is final, nothing is lost.
        #[test]
        fn pieces_are_the_frame(len in 0usize..20_000) {
            let whole: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let mut joined = Vec::new();
            let mut finals = Vec::new();
            for (i, message) in pieces(Bytes::from(whole.clone())).enumerate() {
                let Message::Frame(frame) = message else { panic!("not a frame") };
                prop_assert!(frame.payload().len() <= PIECE);
                let expected = if i == 0 { Data::Text } else { Data::Continue };
                prop_assert_eq!(frame.header().opcode, OpCode::Data(expected));
                finals.push(frame.header().is_final);
                joined.extend_from_slice(frame.payload());
            }
            prop_assert_eq!(joined, whole);
            let (last, before) = finals.split_last().unwrap();
            prop_assert!(*last && before.iter().all(|f| !f));
        }
    }
}
