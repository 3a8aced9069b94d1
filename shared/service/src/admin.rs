//! The admin port: `/livez`, `/readyz`, `/metrics`.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::settings::AdminSettings;

/// A port that can't be listened on, by the setting that names it.
#[derive(Debug, thiserror::Error)]
#[error("{setting} = {address}: can't listen there; is the port in use? Choose another")]
pub struct BindError {
    /// The setting.
    pub setting: &'static str,
    /// The address asked for.
    pub address: SocketAddr,
    #[source]
    source: std::io::Error,
}

/// Listens, or says which setting is to blame. Done before anything else starts, so that a port
/// in use is no detached task's secret.
pub async fn bind(setting: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| BindError {
            setting,
            address,
            source,
        })
}

/// An admin port that is bound.
#[derive(Debug)]
pub struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl AdminServer {
    /// Binds `admin.listen`.
    pub async fn bind(settings: &AdminSettings) -> Result<Self, BindError> {
        let listener = bind("admin.listen", settings.listen).await?;
        let address = listener.local_addr().unwrap_or(settings.listen);
        tracing::info!(%address, "admin port");
        Ok(Self { listener, address })
    }

    /// The address, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until everything else has ended, so that a draining service can be watched.
    pub fn start(self, lifecycle: &Lifecycle, metrics: Metrics, readiness: Readiness) {
        crate::process::register(&metrics);
        readiness.measure(&metrics);
        let router = Router::new()
            .route("/livez", get(async || "alive\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(render))
            .with_state(Shown { metrics, readiness });
        lifecycle.support(
            "admin",
            async move { axum::serve(self.listener, router).await },
        );
    }
}

#[derive(Clone)]
struct Shown {
    metrics: Metrics,
    readiness: Readiness,
}

async fn readyz(State(shown): State<Shown>) -> impl IntoResponse {
    let missing = shown.readiness.missing();
    if missing.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready\n{}\n", missing.join("\n")),
        )
    }
}

async fn render(State(shown): State<Shown>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        shown.metrics.render(),
    )
}
