//! Handles: kill, pause, resume, restart of each server; the tests of all other crates rely on them.

use std::time::{Duration, Instant};

use stack::{Options, Server, Stack};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::cables;

/// One stack is asked about all that a single broker is enough for.
#[tokio::test]
async fn servers_and_cables_obey() {
    let options = Options {
        cables: 1,
        ..Options::default()
    };
    let stack = Stack::alone(options).await.unwrap();
    they_took_seconds(&stack);
    cables::a_cut_cable_holds_what_is_said_to_kafka_and_redis(&stack).await;
    servers_obey(&stack).await;
}

/// Of processor time, whatever else the machine has to do.
fn they_took_seconds(stack: &Stack) {
    let took: Vec<f64> = stack
        .servers()
        .into_iter()
        .map(Server::cpu_seconds)
        .collect();
    assert!(took.iter().sum::<f64>() < 30.0, "{took:?}");
    assert!(stack.kafka()[0].cpu_seconds() > 0.1);
    assert!(stack.postgres().rss() > 1_000_000);
}

/// Every server, one after the other: silent while paused, gone when killed, back on its port after a restart.
async fn servers_obey(stack: &Stack) {
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
    let deadline = Instant::now() + Duration::from_mins(3);
    while !pongs(redis).await {
        assert!(Instant::now() < deadline, "a resumed Redis is silent");
    }
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
