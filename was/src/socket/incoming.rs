//! What a client sent, as an input of its session.

use protocol::{BadFrame, ClientFrame, CloseCode, ErrorCode};
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// One thing that came.
#[derive(Debug)]
pub(super) enum Came {
    /// A frame of the protocol.
    Frame(ClientFrame),
    /// A text that is none.
    Malformed(ErrorCode, String),
    /// The answer to a ping, with its count.
    Pong(u64),
    /// Nothing of interest: a ping, a pong that was not asked for.
    Other,
    /// What ends the socket with a code.
    Wrong(CloseCode),
    /// The client has gone, or is going.
    Gone,
}

/// The longest part of an error's text that is sent back.
const MAX_ERROR: usize = 200;

/// Reads what the WebSocket layer gave.
pub(super) fn read(message: Result<Message, Error>) -> Came {
    match message {
        Ok(Message::Text(text)) => decode(&text),
        Ok(Message::Binary(_)) => Came::Wrong(CloseCode::Unsupported),
        Ok(Message::Pong(count)) => match count.as_ref().try_into() {
            Ok(count) => Came::Pong(u64::from_be_bytes(count)),
            Err(_) => Came::Other,
        },
        Ok(Message::Ping(_) | Message::Frame(_)) => Came::Other,
        Ok(Message::Close(_)) => Came::Gone,
        Err(error) => match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => Came::Wrong(CloseCode::TooBig),
            Error::Utf8(_) => Came::Wrong(CloseCode::NotUtf8),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Came::Gone,
            Error::Protocol(_) => Came::Wrong(CloseCode::ProtocolError),
            _ => Came::Gone,
        },
    }
}

fn decode(text: &Utf8Bytes) -> Came {
    match ClientFrame::decode(text.as_bytes()) {
        Ok(frame) => Came::Frame(frame),
        Err(error) => {
            let code = match &error {
                BadFrame::Malformed(_) => ErrorCode::Malformed,
                BadFrame::UnknownType(_) => ErrorCode::UnknownType,
            };
            let message: String = error.to_string().chars().take(MAX_ERROR).collect();
            Came::Malformed(code, message)
        }
    }
}
