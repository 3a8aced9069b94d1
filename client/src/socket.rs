//! One WebSocket to one gateway, with small buffers.

use bytes::Bytes;
use futures_util::SinkExt;
use protocol::{ClientFrame, MAX_FRAME_BYTES};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Error, Message, Utf8Bytes,
        client::IntoClientRequest,
        http::HeaderValue,
        protocol::{
            WebSocketConfig,
            frame::{
                Frame,
                coding::{Data, OpCode},
            },
        },
    },
};

/// Tungstenite's defaults cost 134 KB per idle connection (trap 14); both grow when they must.
const READ_BUFFER: usize = 1 << 10;
const WRITE_BUFFER: usize = 8 << 10;
/// A larger frame leaves in pieces of this size: the write buffer keeps the largest frame's size for good.
const FRAGMENT: usize = 4 << 10;
/// What the server sends is a little larger than what it takes: it adds fields to a body.
const LARGEST: usize = MAX_FRAME_BYTES + (64 << 10);

/// The subprotocol that this client speaks.
const SUBPROTOCOL: HeaderValue = HeaderValue::from_static("chat.v1.json");

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// `host:port` of a gateway's URL.
pub(crate) fn authority(url: &str) -> Result<&str, String> {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("ws://"));
    let rest = rest.ok_or_else(|| format!("{url}: expected http://host:port or ws://host:port"))?;
    Ok(rest.split('/').next().unwrap_or(rest))
}

/// Connects and shakes hands; the greeting is the caller's.
pub(crate) async fn connect(url: &str) -> Result<Socket, String> {
    let authority = authority(url)?;
    let stream = TcpStream::connect(authority)
        .await
        .map_err(|error| format!("{url}: {error}"))?;
    // Two small writes would wait for each other's acknowledgement otherwise: 44 ms.
    stream
        .set_nodelay(true)
        .map_err(|error| format!("{url}: {error}"))?;
    let mut request = format!("ws://{authority}/ws")
        .into_client_request()
        .map_err(|error| format!("{url}: {error}"))?;
    request
        .headers_mut()
        .insert("sec-websocket-protocol", SUBPROTOCOL);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(LARGEST))
        .max_frame_size(Some(LARGEST));
    let (socket, _) = client_async_with_config(request, stream, Some(config))
        .await
        .map_err(|error| match error {
            Error::Http(response) => format!("{url}: HTTP {}", response.status()),
            other => format!("{url}: {other}"),
        })?;
    Ok(socket)
}

/// Puts a frame into the write buffer; [`SinkExt::flush`] sends what gathered there.
pub(crate) async fn feed(socket: &mut Socket, frame: &ClientFrame) -> Result<(), Error> {
    // Texts, numbers and maps keyed by numbers only: nothing that JSON can't write.
    let text = serde_json::to_string(frame).unwrap_or_default();
    if text.len() <= FRAGMENT {
        return socket.feed(Message::Text(Utf8Bytes::from(text))).await;
    }
    for fragment in fragments(&Bytes::from(text)) {
        socket.feed(Message::Frame(fragment)).await?;
    }
    Ok(())
}

fn fragments(text: &Bytes) -> Vec<Frame> {
    let starts = (0..text.len()).step_by(FRAGMENT);
    let frame = |from: usize| {
        let to = text.len().min(from + FRAGMENT);
        let data = if from == 0 {
            Data::Text
        } else {
            Data::Continue
        };
        Frame::message(text.slice(from..to), OpCode::Data(data), to == text.len())
    };
    starts.map(frame).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_are_one_message() {
        for length in [FRAGMENT + 1, 2 * FRAGMENT, 100_000] {
            let text = Bytes::from("x".repeat(length));
            let frames = fragments(&text);
            let whole: Vec<u8> = frames
                .iter()
                .flat_map(|frame| frame.payload().to_vec())
                .collect();
            assert_eq!(whole, text);
            assert_eq!(
                frames
                    .iter()
                    .filter(|frame| frame.header().is_final)
                    .count(),
                1
            );
            assert!(frames.last().is_some_and(|frame| frame.header().is_final));
            assert_eq!(frames[0].header().opcode, OpCode::Data(Data::Text));
            assert!(
                frames[1..]
                    .iter()
                    .all(|frame| frame.header().opcode == OpCode::Data(Data::Continue))
            );
        }
    }

    #[test]
    fn urls() {
        assert_eq!(
            authority("http://127.0.0.1:8081/").unwrap(),
            "127.0.0.1:8081"
        );
        assert_eq!(authority("ws://a:1/ws").unwrap(), "a:1");
        assert!(authority("wss://a:1").is_err());
    }
}
