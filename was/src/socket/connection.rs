//! One HTTP connection, until it ends or becomes a WebSocket: nobody holds it by being slow.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long the parts of a connection may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// A request's head, and the pause before it.
    pub(super) head: Duration,
    /// A request from its head to the last byte of its response: who sends a body by the drop or
    /// reads no answer keeps it all in memory meanwhile.
    pub(super) request: Duration,
    /// What is under way when the gateway stops.
    pub(super) stop: Duration,
}

/// Serves the requests of a connection. What takes too long is cut off.
pub(super) async fn converse(
    stream: TcpStream,
    router: Router,
    limits: Limits,
    stop: &CancellationToken,
) {
    let (begun, last) = watch::channel(Instant::now());
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        begun.send_replace(Instant::now());
        answer(router.clone(), request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = overdue(last, limits.request) => None,
        () = stop.cancelled() => {
            // The request under way is answered, then the connection ends.
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(limits.stop, connection).await.ok()
        }
    };
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%error, "connection"),
        None => tracing::debug!("a connection was too slow"),
    }
}

async fn answer(
    router: TowerToHyperService<Router>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    hyper::service::Service::call(&router, request).await
}

/// Waits until a request has taken too long. A connection on which none is under way ends before, by
/// the limit of the next one's head.
async fn overdue(mut last: watch::Receiver<Instant>, limit: Duration) {
    loop {
        let begun = *last.borrow_and_update();
        tokio::select! {
            () = tokio::time::sleep_until(begun + limit) => return,
            Ok(()) = last.changed() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    fn limits(request: Duration, stop: Duration) -> Limits {
        Limits {
            head: PATIENCE * 2,
            request,
            stop,
        }
    }

    /// A response that is not read holds its connection until the limit, or until shortly after a
    /// stop, and no longer.
    #[tokio::test]
    async fn an_answer_that_nobody_reads_is_given_up() {
        let router = Router::new().route("/", get(async || vec![0_u8; 64 << 20]));
        let short = Duration::from_millis(200);
        for (limits, stopped) in [
            (limits(short, PATIENCE * 2), false),
            (limits(PATIENCE * 2, short), true),
        ] {
            let (mut client, server) = pair().await;
            client.write_all(GET).await.unwrap();
            let stop = CancellationToken::new();
            let serving = converse(server, router.clone(), limits, &stop);
            let begin = async {
                // The limit may be over before the first byte is there.
                let first = client.read_u8().await;
                if stopped {
                    first.unwrap();
                    stop.cancel();
                }
            };
            let both = async { tokio::join!(serving, begin) };
            let ended = tokio::time::timeout(PATIENCE, both).await;
            assert!(ended.is_ok(), "stopped: {stopped}");
        }
    }

    /// The limit is each request's: a connection that is used for longer stays.
    #[tokio::test]
    async fn requests_one_after_the_other_have_a_limit_each() {
        let router = Router::new().route("/", get(async || "x"));
        let limit = Duration::from_millis(500);
        loop {
            let (mut client, server) = pair().await;
            let stop = CancellationToken::new();
            let begun = Instant::now();
            let asked = Cell::new(begun);
            let asking = async {
                let mut answer = vec![0; 4096];
                while begun.elapsed() < limit * 2 {
                    asked.set(Instant::now());
                    if client.write_all(GET).await.is_err() {
                        return false;
                    }
                    let read = client.read(&mut answer).await.unwrap_or(0);
                    if !answer[..read].ends_with(b"x") {
                        return false;
                    }
                    tokio::time::sleep(limit / 10).await;
                }
                true
            };
            let served = tokio::select! {
                () = converse(server, router.clone(), limits(limit, limit), &stop) => false,
                served = asking => served,
            };
            if served {
                return;
            }
            // Only where the machine stood still between two requests: that shows nothing.
            assert!(asked.get().elapsed() >= limit, "cut off");
        }
    }
}
