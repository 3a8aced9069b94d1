//! A client's socket, without the client library's good manners.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::house::PATIENCE;

/// How long a gateway waits, once it has closed a socket, for what the client is still sending: who sends for longer
/// may find the stream reset, and no code (`src/socket/task.rs`).
const HEARD_OUT: Duration = Duration::from_secs(2);

pub(crate) struct Socket(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(crate) async fn open(port: u16) -> Self {
        Self::try_open(port).await.unwrap()
    }

    pub(crate) async fn try_open(port: u16) -> Result<Self, String> {
        let mut request = format!("ws://127.0.0.1:{port}/ws")
            .into_client_request()
            .unwrap();
        let protocol = "chat.v1.json".parse().unwrap();
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        let (socket, response) = connect_async(request).await.map_err(|e| e.to_string())?;
        assert_eq!(response.headers()["sec-websocket-protocol"], "chat.v1.json");
        Ok(Self(socket))
    }

    pub(crate) async fn put(&mut self, frame: &Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    pub(crate) async fn hello(&mut self, token: &str, device: &str, cursors: &[(i64, i64)]) {
        let cursors: serde_json::Map<String, Value> = cursors
            .iter()
            .map(|(room, seq)| (room.to_string(), json!(seq)))
            .collect();
        let hello =
            json!({ "type": "hello", "token": token, "device": device, "cursors": cursors });
        self.put(&hello).await;
    }

    async fn message(&mut self) -> Message {
        let next = tokio::time::timeout(PATIENCE, self.0.next()).await;
        next.expect("a frame in time")
            .expect("an open stream")
            .expect("a frame")
    }

    /// The next text frame.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            match self.message().await {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("not a text: {other:?}"),
            }
        }
    }

    /// The close code; texts before it are returned as well.
    pub(crate) async fn closed(&mut self) -> (u16, Vec<Value>) {
        let mut before = Vec::new();
        loop {
            match self.message().await {
                Message::Close(Some(frame)) => return (frame.code.into(), before),
                Message::Text(text) => before.push(serde_json::from_str(&text).unwrap()),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("not a close: {other:?}"),
            }
        }
    }

    /// The close code; none when it is a welcome that comes.
    pub(crate) async fn ended_or_welcome(&mut self) -> Option<u16> {
        loop {
            match self.message().await {
                Message::Text(text) if text.contains("\"bye\"") => {}
                Message::Text(text) => {
                    assert!(text.contains("\"welcome\""), "{text}");
                    return None;
                }
                Message::Close(Some(frame)) => return Some(frame.code.into()),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("neither: {other:?}"),
            }
        }
    }

    /// The stream below.
    pub(crate) fn plain(&mut self) -> &mut TcpStream {
        match self.0.get_mut() {
            MaybeTlsStream::Plain(stream) => stream,
            other => panic!("not plain: {other:?}"),
        }
    }

    /// How it ends: with a close code, or without.
    pub(crate) async fn ended(&mut self, what: &str) -> Option<u16> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.0.next()).await;
            match next.unwrap_or_else(|_| panic!("no end in time: {what}")) {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// How it ends for who has been sending since `begun`, what the gateway closes it for included: with a code, unless
    /// this machine took so long that the code may be lost.
    pub(crate) async fn ended_since(&mut self, begun: Instant, what: &str) -> Option<u16> {
        let code = self.ended(what).await;
        assert!(
            code.is_some() || begun.elapsed() >= HEARD_OUT,
            "{what}: no code"
        );
        code
    }

    /// Nothing comes for a while: for what must *not* happen, after what would come before it did.
    pub(crate) async fn silent(&mut self, time: Duration) {
        if let Ok(Some(Ok(Message::Text(text)))) = tokio::time::timeout(time, self.0.next()).await {
            panic!("unexpected {text}");
        }
    }
}
