//! A gateway played by hand.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use client::{Client, Event, Events, Options};
use futures_util::{SinkExt, StreamExt};
use protocol::{
    ClientFrame, CloseCode, EventKind, Limits, MessageId, RejectCode, RoomId, Seq, ServerFrame,
    UserId,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message, Utf8Bytes,
        handshake::server::{ErrorResponse, Request, Response},
        http::HeaderValue,
        protocol::CloseFrame,
    },
};

/// How long anything may take before the test gives up, on a machine that stands still now and then.
const PATIENCE: Duration = Duration::from_secs(60);

/// Accepts sockets.
pub(crate) struct Gateway(TcpListener);

/// One socket, from its greeting on.
pub(crate) struct Peer {
    socket: WebSocketStream<TcpStream>,
    /// The greeting.
    pub(crate) hello: ClientFrame,
}

pub(crate) fn room() -> RoomId {
    RoomId::new(7).unwrap()
}

pub(crate) fn me() -> UserId {
    UserId::new(1).unwrap()
}

pub(crate) fn seq(number: i64) -> Seq {
    Seq::new(number).unwrap()
}

/// A message as everyone gets it.
pub(crate) fn message(number: i64, id: MessageId) -> Bytes {
    let kind = EventKind::message("text".to_owned());
    protocol::Event {
        room: room(),
        seq: seq(number),
        id,
        from: me(),
        at: 0,
        kind,
    }
    .to_frame()
}

pub(crate) fn connect(urls: Vec<String>) -> (Client, Events) {
    Client::connect(options(urls))
}

pub(crate) fn options(urls: Vec<String>) -> Options {
    let mut options = Options::new(urls, "a token", "a device");
    // Connections here live for milliseconds, and their loss is to be answered as if they had been good.
    options.stable_after = Duration::ZERO;
    // Longer than anything is waited for: what is sent again has another reason than its age.
    options.resend_after = PATIENCE * 10;
    // So that a machine that stands still for some seconds is no gateway that does.
    (options.connect_timeout, options.greeting_timeout) = (PATIENCE * 10, PATIENCE * 10);
    options
}

/// The next event that `wanted` picks; others are passed over.
pub(crate) async fn until<T>(
    events: &mut Events,
    mut wanted: impl FnMut(&Event) -> Option<T>,
) -> T {
    let mut passed = Vec::new();
    loop {
        match timeout(PATIENCE, events.next()).await {
            Ok(Some(event)) => match wanted(&event) {
                Some(found) => return found,
                None => passed.push(event),
            },
            other => panic!("waited for an event, got {other:?} after {passed:?}"),
        }
    }
}

/// The address of nobody, for as long as the socket is there: once let go of it could be that of another test's gateway.
pub(crate) fn nobody() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    (socket, url)
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    /// The next socket, greeted and welcomed.
    pub(crate) async fn welcome(&self) -> Peer {
        let mut peer = self.accept().await;
        peer.tell(&welcome(25_000)).await;
        peer
    }

    /// The next socket, greeted.
    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = timeout(PATIENCE, self.0.accept())
            .await
            .expect("a client connects")
            .unwrap();
        let mut socket = accept_hdr_async(stream, handshake).await.unwrap();
        let hello = read(&mut socket).await;
        assert!(matches!(hello, ClientFrame::Hello { .. }), "{hello:?}");
        Peer { socket, hello }
    }
}

/// A room that no hello names a cursor for: the welcome says that it begins at 30.
pub(crate) fn unnamed() -> RoomId {
    RoomId::new(9).unwrap()
}

pub(crate) fn welcome(heartbeat_ms: u64) -> ServerFrame {
    welcome_with(heartbeat_ms, [(unnamed(), seq(30))].into())
}

pub(crate) fn welcome_without_rooms() -> ServerFrame {
    welcome_with(25_000, BTreeMap::new())
}

fn welcome_with(heartbeat_ms: u64, cursors: BTreeMap<RoomId, Seq>) -> ServerFrame {
    let limits = Limits {
        body_chars: 1,
        body_bytes: 1,
        frame_bytes: 1,
        rate_per_second: 20,
        rate_burst: 100,
        replay_room: 1,
        replay_total: 1,
    };
    ServerFrame::Welcome {
        session: MessageId::nil(),
        user: me(),
        was: "was-1".to_owned(),
        heartbeat_ms,
        limits,
        cursors,
    }
}

#[expect(
    clippy::result_large_err,
    reason = "the callback's form is the library's"
)]
fn handshake(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let protocol = HeaderValue::from_static("chat.v1.json");
    assert_eq!(
        request.headers().get("sec-websocket-protocol"),
        Some(&protocol)
    );
    assert_eq!(request.uri(), "/ws", "no token in the URL");
    response
        .headers_mut()
        .insert("sec-websocket-protocol", protocol);
    Ok(response)
}

async fn read(socket: &mut WebSocketStream<TcpStream>) -> ClientFrame {
    loop {
        match timeout(PATIENCE, socket.next())
            .await
            .expect("a frame in time")
            .expect("a frame")
            .unwrap()
        {
            Message::Text(text) => return ClientFrame::decode(text.as_bytes()).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

impl Peer {
    /// The next frame from the client.
    pub(crate) async fn read(&mut self) -> ClientFrame {
        read(&mut self.socket).await
    }

    /// The next `send`: its id, and whether it says that it is a resend.
    pub(crate) async fn sent(&mut self) -> (MessageId, bool) {
        match self.read().await {
            ClientFrame::Send { id, retry, .. } => (id, retry),
            other => panic!("expected a send: {other:?}"),
        }
    }

    pub(crate) async fn tell(&mut self, frame: &ServerFrame) {
        self.tell_raw(frame.encode()).await;
    }

    /// Tells that a command was rejected.
    pub(crate) async fn refuse(
        &mut self,
        id: MessageId,
        code: RejectCode,
        retry_after_ms: Option<u64>,
    ) {
        let message = String::new();
        self.tell(&ServerFrame::Rejected {
            id,
            code,
            message,
            retry_after_ms,
        })
        .await;
    }

    pub(crate) async fn tell_raw(&mut self, frame: Bytes) {
        self.socket
            .send(Message::Text(Utf8Bytes::try_from(frame).unwrap()))
            .await
            .unwrap();
    }

    /// How many frames of the client are still to come, until the connection ends in the middle of one.
    pub(crate) async fn rest(mut self) -> usize {
        let mut whole = 0;
        while let Some(Ok(_)) = timeout(PATIENCE, self.socket.next())
            .await
            .expect("an end in time")
        {
            whole += 1;
        }
        whole
    }

    pub(crate) async fn ping(&mut self) {
        self.socket.send(Message::Ping(Bytes::new())).await.unwrap();
    }

    pub(crate) async fn close(&mut self, code: CloseCode) {
        let frame = CloseFrame {
            code: code.code().into(),
            reason: code.reason().into(),
        };
        self.socket.close(Some(frame)).await.unwrap();
    }
}
