//! The admin port, over a socket.

use std::net::SocketAddr;
use std::time::Duration;

use service::admin::AdminServer;
use service::lifecycle::Lifecycle;
use service::metrics::Metrics;
use service::readiness::Readiness;
use service::settings::AdminSettings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn get(address: SocketAddr, path: &str) -> String {
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

fn any_port() -> AdminSettings {
    AdminSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
    }
}

#[tokio::test]
async fn readyz_names_what_is_missing() {
    let lifecycle = Lifecycle::new(Duration::from_secs(60));
    let readiness = Readiness::new();
    let home = readiness.condition("home");
    home.miss("none of 64 is free");
    let metrics = Metrics::new();
    metrics.counter("frames_total", "Frames.").inc();
    let server = AdminServer::bind(&any_port()).await.unwrap();
    let address = server.address();
    server.start(&lifecycle, metrics, readiness);

    let answer = get(address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("home: none of 64 is free"), "{answer}");
    let answer = get(address, "/metrics").await;
    assert!(answer.contains("ready{condition=\"home\"} 0"), "{answer}");
    home.meet();
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
    assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200"));
    let answer = get(address, "/metrics").await;
    assert!(answer.contains("frames_total 1"), "{answer}");
    for name in [
        "process_resident_memory_bytes",
        "build_info{",
        "ready{condition=\"home\"} 1",
    ] {
        assert!(answer.contains(name), "{answer}");
    }
    lifecycle.drain().cancel();
    lifecycle.wait().await.unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_its_setting() {
    let first = AdminServer::bind(&any_port()).await.unwrap();
    let taken = AdminSettings {
        listen: first.address(),
    };
    let error = AdminServer::bind(&taken).await.unwrap_err().to_string();
    assert!(
        error.contains(&format!("admin.listen = {}", first.address())),
        "{error}"
    );
}
