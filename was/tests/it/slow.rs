//! Who sends or reads slowly, or only holds a connection.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::house::{Gateway, House, PATIENCE};
use crate::socket::Socket;

async fn connect(gateway: &Gateway) -> TcpStream {
    TcpStream::connect(("127.0.0.1", gateway.port))
        .await
        .unwrap()
}

async fn status(stream: &mut TcpStream) -> String {
    let mut line = vec![0; 12];
    let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut line)).await;
    read.expect("an answer in time").unwrap();
    String::from_utf8(line).unwrap()
}

const TOKEN: &[u8] = b"POST /v1/dev/token HTTP/1.1\r\nhost: x\r\n\
    content-type: application/json\r\ncontent-length: 1000000\r\n\r\n{";

/// A body that does not come is not waited for; where there are no tokens for development, nobody
/// without a token is listened to at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_must_come_in_time() {
    let house = House::new().await;
    let closed = [("SWITCHBOARD_AUTH_DEV_TOKENS", "false")];
    let (gateway, closed) =
        tokio::join!(house.gateway("was-0", &[]), house.gateway("was-1", &closed));
    let drip = async |gateway| {
        let mut dripping = connect(gateway).await;
        dripping.write_all(TOKEN).await.unwrap();
        status(&mut dripping).await
    };
    // Waited for there too, the body would be missed as here.
    let (late, unasked) = tokio::join!(drip(&gateway), drip(&closed));
    assert_eq!(late, "HTTP/1.1 408");
    assert_eq!(unasked, "HTTP/1.1 404");
}

const PING_EVERY: Duration = Duration::from_secs(2);

/// I9: fragments without end are kept for two heartbeats and not for ever, though every ping is answered
/// between them.
#[tokio::test(flavor = "multi_thread")]
async fn i9_a_message_must_end_in_time() {
    let house = House::new().await;
    let every = format!("{}s", PING_EVERY.as_secs());
    let often = [("SWITCHBOARD_WAS_PING_EVERY", every.as_str())];
    let gateway = house.gateway("was-0", &often).await;
    let mut socket = gateway.session("ann", "phone", &[]).await.0;
    let (begun, mut kind, mut pings) = (Instant::now(), Data::Text, 0);
    let code: Option<u16> = loop {
        tokio::select! {
            came = socket.next() => match came {
                Some(Ok(Message::Ping(_))) => pings += 1,
                Some(Ok(Message::Close(frame))) => break frame.map(|frame| frame.code.into()),
                Some(Ok(other)) => panic!("unexpected {other:?}"),
                Some(Err(_)) | None => break None,
            },
            () = tokio::time::sleep(Duration::from_millis(100)) => {
                let opcode = OpCode::Data(std::mem::replace(&mut kind, Data::Continue));
                let fragment = Frame::message("x", opcode, false);
                // How it ended is read above.
                let _ = socket.send(Message::Frame(fragment)).await;
            }
        }
        assert!(begun.elapsed() < PATIENCE, "{pings} pings");
    };
    let took = begun.elapsed();
    assert!(took >= 2 * PING_EVERY, "closed after {took:?}");
    // A machine that stands still has both at once, the second ping and the end; and the end may come without its code
    // to who sends on for longer than the gateway listens.
    if took < 3 * PING_EVERY {
        assert_eq!(code, Some(4005));
        assert!(pings >= 2, "closed after {pings} pings");
    }
    let closed = gateway.metric("was_sockets_closed_total{reason=\"too_slow\"}");
    assert_eq!(closed.await, 1);
}

/// Connections are bounded: more wait. Those that have become sockets are not counted.
#[tokio::test(flavor = "multi_thread")]
async fn connections_are_bounded_beside_the_sockets() {
    let house = House::new().await;
    let gateway = house
        .gateway("was-0", &[("SWITCHBOARD_WAS_MAX_CONNECTIONS", "1")])
        .await;
    let _sockets = [
        Socket::open(gateway.port).await,
        Socket::open(gateway.port).await,
    ];
    let holding = connect(&gateway).await;
    let mut asking = connect(&gateway).await;
    asking
        .write_all(b"GET /v1/nothing HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let early = tokio::time::timeout(Duration::from_millis(500), asking.readable()).await;
    assert!(early.is_err(), "served beside the one that holds the place");
    drop(holding);
    assert_eq!(status(&mut asking).await, "HTTP/1.1 404");
}

/// A stop does not wait until its end for a client that reads no answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_who_reads_nothing() {
    let house = House::new().await;
    let mut gateway = house
        .gateway("was-0", &[("SWITCHBOARD_WAS_DRAIN", "2m")])
        .await;
    let mut deaf = connect(&gateway).await;
    let ask = b"GET /v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n";
    // Until nothing can be written any more: answers fill one side, questions the other.
    while let Ok(written) = tokio::time::timeout(Duration::from_secs(1), deaf.write_all(ask)).await
    {
        written.unwrap();
    }
    gateway.signal(Signal::TERM);
    let ended = tokio::time::timeout(PATIENCE, gateway.child.wait()).await;
    assert_eq!(ended.expect("an end in time").unwrap().code(), Some(0));
}
