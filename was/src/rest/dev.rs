//! Tokens for development.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use http::StatusCode;
use http::request::Parts;
use protocol::{UserId, check_name};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Body;
use super::problem::Problem;
use crate::gateway::Gateway;

/// Who wants a token.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Name {
    /// Made when new.
    user: String,
}

/// A token, good for a day.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Token {
    token: String,
    #[schema(value_type = i64)]
    user: UserId,
}

/// Looked at before the body is read: where no tokens are given, nobody is listened to.
pub(super) struct Given;

impl FromRequestParts<Arc<Gateway>> for Given {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, Problem> {
        if gateway.authority.gives_dev_tokens() {
            Ok(Self)
        } else {
            Err(refused())
        }
    }
}

fn refused() -> Problem {
    let text = "auth.dev_tokens is not set";
    Problem::new(StatusCode::NOT_FOUND, "no_such_path", text)
}

/// Gives a token to whoever asks; only where the setting `auth.dev_tokens` allows it.
#[utoipa::path(
    post, path = "/v1/dev/token", request_body = Name,
    responses((status = 200, body = Token), (status = "default", body = Problem))
)]
pub(super) async fn token(
    State(gateway): State<Arc<Gateway>>,
    Given: Given,
    Body(Name { user: name }): Body<Name>,
) -> Result<Json<Token>, Problem> {
    check_name(&name).map_err(|error| Problem::invalid(error.to_string()))?;
    let store = gateway.ask_store().await?;
    let user = store.create_or_get_user(&name).await?;
    let token = gateway
        .authority
        .dev_token(user, gateway.clock.wall_ms())
        .ok_or_else(refused)?;
    Ok(Json(Token { token, user }))
}
