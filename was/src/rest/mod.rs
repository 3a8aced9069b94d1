//! The REST API under `/v1`, its OpenAPI document generated from the handlers.

mod bearer;
mod body;
mod dev;
mod devices;
mod history;
mod limits;
mod measure;
mod members;
mod outcome;
mod problem;
mod rooms;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use problem::Problem;

use crate::gateway::Gateway;

#[derive(OpenApi)]
#[openapi(
    info(title = "Switchboard", description = "Rooms, members and history. Messages go over GET /ws."),
    modifiers(&Bearer),
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme(
            "bearer",
            SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
        );
    }
}

/// All routes: REST, its document, and the upgrade to WebSocket.
pub fn router(gateway: Arc<Gateway>) -> Router {
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(rooms::create, rooms::list))
        .routes(routes!(rooms::one, rooms::rename, rooms::delete))
        .routes(routes!(members::add))
        .routes(routes!(members::role, members::remove))
        .routes(routes!(history::page))
        .routes(routes!(devices::register, devices::list))
        .routes(routes!(devices::remove))
        .routes(routes!(dev::token))
        .split_for_parts();
    let document = serde_json::to_vec(&document)
        .map(Bytes::from)
        .unwrap_or_default();
    let document = move || {
        let document = document.clone();
        async move { ([(CONTENT_TYPE, "application/json")], document) }
    };
    router
        .route("/v1/openapi.json", get(document))
        .route("/ws", get(crate::socket::upgrade))
        .fallback(async || {
            Problem::new(
                StatusCode::NOT_FOUND,
                "no_such_path",
                "there is nothing here",
            )
        })
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method",
                "not with this method",
            )
        })
        .layer(from_fn_with_state(Arc::clone(&gateway), measure::measure))
        .with_state(gateway)
}
