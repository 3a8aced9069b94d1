use std::time::Duration;

use tokio::{net::TcpSocket, time::timeout};

use super::*;

/// Long enough for what goes through a loopback, and short for a test.
const A_WHILE: Duration = Duration::from_millis(100);
/// What must come comes within this, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(60);

/// A proxy before a server that the test plays.
struct Played {
    proxy: Proxy,
    server: TcpListener,
}

impl Played {
    async fn start() -> Self {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy = Proxy::before(server.local_addr().unwrap().port()).unwrap();
        Self { proxy, server }
    }

    async fn client(&self) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.proxy.port()))
            .await
            .unwrap()
    }

    async fn accept(&self) -> TcpStream {
        timeout(PATIENCE, self.server.accept())
            .await
            .expect("nobody connects")
            .unwrap()
            .0
    }

    async fn pair(&self) -> (TcpStream, TcpStream) {
        let client = self.client().await;
        (client, self.accept().await)
    }
}

async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 64];
    let length = timeout(PATIENCE, stream.read(&mut bytes))
        .await
        .expect("nothing comes")?;
    bytes.truncate(length);
    Ok(bytes)
}

async fn is_silent(stream: &mut TcpStream) -> bool {
    timeout(A_WHILE, stream.read_u8()).await.is_err()
}

fn is_reset(read: &io::Result<Vec<u8>>) -> bool {
    matches!(read, Err(error) if error.kind() == io::ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn carries_both_ways_and_tells_the_end() {
    let line = Played::start().await;
    let (mut client, mut server) = line.pair().await;
    client.write_all(b"ask").await.unwrap();
    assert_eq!(read(&mut server).await.unwrap(), b"ask");
    server.write_all(b"answer").await.unwrap();
    assert_eq!(read(&mut client).await.unwrap(), b"answer");
    drop(server);
    assert_eq!(read(&mut client).await.unwrap(), b"");
}

/// Held, not lost and not refused: bytes of both directions, an end, and who connects meanwhile.
#[tokio::test]
async fn a_cut_holds_everything_until_it_is_healed() {
    let line = Played::start().await;
    let (mut client, mut server) = line.pair().await;
    let (leaving, mut left) = line.pair().await;
    line.proxy.cut();
    client.write_all(b"ask").await.unwrap();
    server.write_all(b"answer").await.unwrap();
    drop(leaving);
    let mut late = line.client().await;
    late.write_all(b"late").await.unwrap();
    assert!(is_silent(&mut client).await);
    assert!(is_silent(&mut server).await);
    assert!(is_silent(&mut left).await);
    assert!(timeout(A_WHILE, line.server.accept()).await.is_err());

    line.proxy.heal();
    assert_eq!(read(&mut server).await.unwrap(), b"ask");
    assert_eq!(read(&mut client).await.unwrap(), b"answer");
    assert_eq!(read(&mut left).await.unwrap(), b"");
    let mut accepted = line.accept().await;
    assert_eq!(read(&mut accepted).await.unwrap(), b"late");
}

#[tokio::test]
async fn a_reset_is_seen_at_both_ends_and_by_nobody_who_comes_later() {
    let line = Played::start().await;
    let (mut client, mut server) = line.pair().await;
    // Seen to be carried: a connection that is being made can't be reset yet.
    client.write_all(b"ask").await.unwrap();
    read(&mut server).await.unwrap();
    line.proxy.reset();
    let (at_client, at_server) = (read(&mut client).await, read(&mut server).await);
    assert!(is_reset(&at_client), "{at_client:?}");
    assert!(is_reset(&at_server), "{at_server:?}");
    let (mut later, mut server) = line.pair().await;
    later.write_all(b"ask").await.unwrap();
    assert_eq!(read(&mut server).await.unwrap(), b"ask");
}

/// The first is asked by half, of the second the answer is withheld, the third is carried.
#[tokio::test]
async fn what_is_torn_is_torn_in_the_middle() {
    let line = Played::start().await;
    line.proxy.tear(2);
    let (mut client, mut server) = line.pair().await;
    client.write_all(b"12345678").await.unwrap();
    assert_eq!(read(&mut server).await.unwrap(), b"1234");
    assert!(is_reset(&read(&mut client).await));

    let (mut client, mut server) = line.pair().await;
    client.write_all(b"12345678").await.unwrap();
    assert_eq!(read(&mut server).await.unwrap(), b"12345678");
    assert!(is_silent(&mut client).await, "not before it is answered");
    server.write_all(b"done").await.unwrap();
    assert!(is_reset(&read(&mut client).await));
    assert_eq!(line.proxy.torn(), 2);

    let (mut client, mut server) = line.pair().await;
    client.write_all(b"12345678").await.unwrap();
    assert_eq!(read(&mut server).await.unwrap(), b"12345678");
    server.write_all(b"done").await.unwrap();
    assert_eq!(read(&mut client).await.unwrap(), b"done");
}

/// The server's port is held by a socket that does not listen: once let go of it would be anybody's.
#[tokio::test]
async fn nobody_behind_it_is_a_reset() {
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let proxy = Proxy::before(nobody.local_addr().unwrap().port()).unwrap();
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port()))
        .await
        .unwrap();
    assert!(is_reset(&read(&mut client).await));
}
