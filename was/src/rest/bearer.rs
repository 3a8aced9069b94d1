//! Who asks, and under which key.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::StatusCode;
use http::header::AUTHORIZATION;
use http::request::Parts;
use protocol::{MessageId, UserId};
use service::trace::Span;

use super::problem::Problem;
use crate::entry;
use crate::gateway::Gateway;

/// The user that the bearer token names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller(pub(super) UserId);

impl FromRequestParts<Arc<Gateway>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, Problem> {
        let unauthorized =
            |detail: String| Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail);
        let token = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| unauthorized("Authorization: Bearer TOKEN is missing".to_owned()))?;
        let user = gateway.authority.verify(token);
        user.map(Self)
            .map_err(|refused| unauthorized(refused.to_string()))
    }
}

/// The command's id: the caller's `Idempotency-Key`, or one made here.
#[derive(Debug)]
pub(super) struct CommandKey {
    /// The id.
    pub(super) id: MessageId,
    /// Whether it is the caller's: then it may be a repeat.
    pub(super) given: bool,
    /// The command's first span, if it is traced.
    pub(super) span: Option<Span>,
}

impl FromRequestParts<Arc<Gateway>> for CommandKey {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, Problem> {
        let key = parts.headers.get("idempotency-key");
        let id = match key {
            None => MessageId::new_v4(),
            Some(key) => {
                let id = key.to_str().ok().and_then(|text| text.trim().parse().ok());
                id.ok_or_else(|| {
                    let text = "Idempotency-Key must be a UUID";
                    Problem::new(StatusCode::BAD_REQUEST, "idempotency_key", text)
                })?
            }
        };
        let given = key.is_some();
        let span = entry::of_request(&gateway.tracer, parts);
        Ok(Self { id, given, span })
    }
}
