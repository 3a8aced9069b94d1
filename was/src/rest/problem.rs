//! Errors as RFC 9457 has them.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use protocol::RejectCode;
use serde::Serialize;
use store::StoreError;
use utoipa::ToSchema;

/// A problem, as `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// What kind, as a URI: `urn:switchboard:problem:` and the code.
    r#type: String,
    /// The HTTP status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened this time.
    detail: String,
    /// What kind, for programs.
    code: &'static str,
    /// When to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl Problem {
    /// A problem of a kind.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            r#type: format!("urn:switchboard:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            code,
            retry_after_ms: None,
        }
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// Not now.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }

    /// It may have been carried out or not.
    pub(super) fn unknown() -> Self {
        Self::unavailable("unknown, repeat with this key")
    }

    /// Too fast.
    pub(super) fn too_fast(wait: Duration) -> Self {
        let code = RejectCode::RateLimited;
        let mut problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            code.as_str(),
            "more than the limit",
        );
        problem.retry_after_ms = Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1));
        problem
    }

    /// A field can't be taken.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            RejectCode::Invalid.as_str(),
            detail,
        )
    }

    /// No such room, or not for the caller: both look alike.
    pub(super) fn no_room() -> Self {
        let text = "there is no such room for you";
        Self::new(StatusCode::NOT_FOUND, RejectCode::NotMember.as_str(), text)
    }

    /// A command was rejected.
    pub(super) fn rejected(code: RejectCode, detail: String) -> Self {
        let status = match code {
            RejectCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            RejectCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            RejectCode::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            RejectCode::NotMember | RejectCode::NoSuchMessage | RejectCode::NoSuchMember => {
                StatusCode::NOT_FOUND
            }
            RejectCode::Forbidden | RejectCode::DirectRoom => StatusCode::FORBIDDEN,
            RejectCode::RoomDeleted => StatusCode::GONE,
            RejectCode::AlreadyMember | RejectCode::RoomFull => StatusCode::CONFLICT,
        };
        Self::new(status, code.as_str(), detail)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_transient() {
            tracing::warn!(error = service::lifecycle::chain(&error), "request");
            return Self::unavailable("the store can't be reached, try again");
        }
        tracing::error!(error = service::lifecycle::chain(&error), "request");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "this should not have happened",
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(ms) = self.retry_after_ms {
            headers.insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                http::header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer"),
            );
        }
        response
    }
}
