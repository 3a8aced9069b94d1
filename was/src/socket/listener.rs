//! Accepts connections, so many at a time: TCP_NODELAY on each, one tracked task each, until the
//! drain.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::connection::{Limits, converse};
use crate::gateway::Gateway;

/// How long a connection may take for what.
const LIMITS: Limits = Limits {
    head: Duration::from_secs(10),
    // Above what a command may take, its outcome and a look-up included.
    request: Duration::from_secs(30),
    stop: Duration::from_secs(5),
};
/// How long to wait when accepting fails: files may have run out.
const AGAIN: Duration = Duration::from_millis(50);

/// Accepts until `stop`.
pub async fn accept(
    listener: TcpListener,
    router: Router,
    gateway: Arc<Gateway>,
    stop: CancellationToken,
) {
    loop {
        // The place first: while none is free, clients wait in the system's queue.
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = async {
                let place = Arc::clone(&gateway.connections).acquire_owned().await;
                listener.accept().await.map(|(stream, _)| (stream, place))
            } => accepted,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        };
        // Two small writes without it took 44 ms.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
            continue;
        }
        let (router, stop) = (router.clone(), stop.clone());
        gateway.tasks.spawn(async move {
            converse(stream, router, LIMITS, &stop).await;
            drop(place);
        });
    }
}
