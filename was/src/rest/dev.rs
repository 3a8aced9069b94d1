//! Tokens for development.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
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

/// Gives a token to whoever asks; only where the setting `auth.dev_tokens` allows it.
#[utoipa::path(
    post, path = "/v1/dev/token", request_body = Name,
    responses((status = 200, body = Token), (status = "default", body = Problem))
)]
pub(super) async fn token(
    State(gateway): State<Arc<Gateway>>,
    Body(Name { user: name }): Body<Name>,
) -> Result<Json<Token>, Problem> {
    let refused = || {
        Problem::new(
            StatusCode::NOT_FOUND,
            "no_such_path",
            "auth.dev_tokens is not set",
        )
    };
    if !gateway.authority.gives_dev_tokens() {
        return Err(refused());
    }
    check_name(&name).map_err(|error| Problem::invalid(error.to_string()))?;
    let user = gateway.store.create_or_get_user(&name).await?;
    let token = gateway
        .authority
        .dev_token(user, gateway.clock.wall_ms())
        .ok_or_else(refused)?;
    Ok(Json(Token { token, user }))
}
