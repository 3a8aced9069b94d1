//! Handles: kill, pause, resume, restart of each server; the tests of all other crates rely on them.

use std::time::{Duration, Instant};

use stack::{Options, Server, Stack};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Every server, one after the other: silent while paused, gone when killed, back on its port after a restart.
#[tokio::test]
async fn servers_obey() {
    let stack = Stack::alone(Options::default()).await.unwrap();
    let redis = port_of(&stack.addresses().redis_url);
    for server in stack.servers() {
        assert!(server.is_running(), "{}", server.name());
        server.ready().await.unwrap();

        let before = server.pid();
        server.kill();
        assert!(!server.is_running(), "{} survived", server.name());
        server.restart().await.unwrap();
        assert_ne!(server.pid(), before, "{}", server.name());
    }

    // Emptied, and asked for a key that is not there.
    stack.flush_redis().await.unwrap();
    let space = stack.space().await.unwrap();
    assert!(!space.delete_key("nothing").await.unwrap());

    stack.redis().pause();
    assert!(!pongs(redis).await, "a paused Redis answered");
    assert!(stack.redis().is_running(), "paused is not gone");
    stack.redis().resume();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !pongs(redis).await {
        assert!(Instant::now() < deadline, "a resumed Redis is silent");
    }
}

/// Everything ready within 10 s when all is installed; three times as long on a machine that has other things to do.
#[tokio::test]
async fn a_second_start_installs_nothing_and_takes_seconds() {
    // The first has installed whatever was missing; the turn lets nobody else start theirs while the second is measured.
    Stack::shared().await.unwrap();
    let _turn = tokio::task::spawn_blocking(crate::turn).await.unwrap();
    let start = Instant::now();
    let stack = Stack::start(Options::default()).await.unwrap();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert!(stack.postgres().rss() > 1_000_000);
    assert!(
        stack
            .kafka()
            .iter()
            .all(|broker| broker.cpu_seconds() > 0.1)
    );
}

/// One of three brokers may die: the others form a cluster without it.
#[tokio::test]
async fn three_brokers_survive_the_death_of_one() {
    let stack = Stack::alone(Options {
        brokers: 3,
        ..Options::default()
    })
    .await
    .unwrap();
    stack.kafka()[0].kill();
    for broker in &stack.kafka()[1..] {
        broker.ready().await.unwrap();
    }
    stack.kafka()[0].restart().await.unwrap();
    assert!(stack.kafka().iter().all(Server::is_running));
}

fn port_of(url: &str) -> u16 {
    url.rsplit_once(':').unwrap().1.parse().unwrap()
}

async fn pongs(port: u16) -> bool {
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"PING\r\n").await?;
        stream.read_u8().await
    };
    matches!(
        timeout(Duration::from_millis(500), exchange).await,
        Ok(Ok(b'+'))
    )
}
