//! Requests counted and timed by what they were for.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{Method, StatusCode};

use crate::gateway::Gateway;

/// The label of what leads nowhere: paths and methods that clients invent must not become series.
const NOWHERE: &str = "none";

/// Passes a request on, and counts it when its response begins.
pub(super) async fn measure(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let response = next.run(request).await;
    let route = route(
        &method,
        path.as_ref().map(MatchedPath::as_str),
        response.status(),
    );
    let requests = &gateway.observed.requests;
    requests
        .with_label_values(&[route.as_str(), response.status().as_str()])
        .inc();
    let seconds = &gateway.observed.request_seconds;
    seconds
        .with_label_values(&[route.as_str()])
        .observe(begun.elapsed().as_secs_f64());
    response
}

fn route(method: &Method, path: Option<&str>, status: StatusCode) -> String {
    match path {
        Some(path) if status != StatusCode::METHOD_NOT_ALLOWED => format!("{method} {path}"),
        _ => NOWHERE.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many paths and methods a client makes up, they are one series.
    #[test]
    fn what_clients_invent_is_one_series() {
        let path = Some("/v1/rooms/{room}");
        let get = route(&Method::GET, path, StatusCode::OK);
        assert_eq!(get, "GET /v1/rooms/{room}");
        let invented = Method::from_bytes(b"DANCE").unwrap();
        assert_eq!(
            route(&invented, path, StatusCode::METHOD_NOT_ALLOWED),
            NOWHERE
        );
        assert_eq!(route(&Method::GET, None, StatusCode::NOT_FOUND), NOWHERE);
    }
}
