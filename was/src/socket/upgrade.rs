//! `GET /ws`: from a request to a WebSocket, by hand.
//!
//! By hand because axum's own WebSocket has no fragments and keeps hyper's buffers; what is left
//! of the connection here is the bare TCP stream.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::line::Line;
use super::task::serve;
use crate::gateway::Gateway;
use crate::rest::Problem;

/// The one subprotocol.
const SUBPROTOCOL: &str = "chat.v1.json";

/// Answers `GET /ws`.
pub async fn upgrade(
    State(gateway): State<Arc<Gateway>>,
    mut request: Request<Body>,
) -> Result<Response, Problem> {
    let headers = request.headers();
    let key = headers.get(SEC_WEBSOCKET_KEY).cloned();
    let is_upgrade = has_word(headers, &CONNECTION, "upgrade")
        && has_word(headers, &UPGRADE, "websocket")
        && headers
            .get(SEC_WEBSOCKET_VERSION)
            .is_some_and(|v| v == "13");
    let (true, Some(key)) = (is_upgrade, key) else {
        return Err(Problem::new(
            StatusCode::UPGRADE_REQUIRED,
            "upgrade_required",
            "this is a WebSocket, version 13",
        ));
    };
    let offered = headers.contains_key(SEC_WEBSOCKET_PROTOCOL);
    if offered && !has_word(headers, &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "subprotocol",
            "the only subprotocol is chat.v1.json",
        ));
    }
    if gateway.open().is_none() {
        return Err(Problem::unavailable(
            "this gateway takes no new sockets now",
        ));
    }
    let Ok(place) = Arc::clone(&gateway.sockets).try_acquire_owned() else {
        return Err(Problem::unavailable(
            "this gateway has as many sockets as it may",
        ));
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let serving = Arc::clone(&gateway);
    gateway.tasks.spawn(async move {
        let _place = place;
        let upgraded = match upgraded.await {
            Ok(upgraded) => upgraded,
            Err(error) => {
                tracing::debug!(%error, "not upgraded");
                return;
            }
        };
        let Some(line) = line_of(upgraded) else {
            tracing::error!("the connection is not the listener's");
            return;
        };
        // Boxed: a future keeps a second place for each argument that it takes by value.
        Box::pin(serve(serving, line)).await;
    });
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
        .map_err(|_| Problem::unavailable("no answer to this key"))?;
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if offered {
        headers.insert(
            SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
    }
    Ok(response)
}

/// The bare stream; hyper's box and its buffer of 8 KiB end here, not with the socket.
fn line_of(upgraded: Upgraded) -> Option<Line<TcpStream>> {
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
    Some(Line::new(parts.io.into_inner(), &parts.read_buf))
}

fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(word))
}
