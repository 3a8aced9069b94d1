//! Bodies, paths and queries whose mistakes are problems, too.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::StatusCode;
use http::request::Parts;
use protocol::RoomId;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// How long a body may take to come.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = tokio::time::timeout(BODY_WITHIN, Json::from_request(request, state)).await;
        let body = body.map_err(|_elapsed| {
            let text = "the body took more than 10 s";
            Problem::new(StatusCode::REQUEST_TIMEOUT, "too_slow", text)
        })?;
        let Json(body) = body.map_err(|error: JsonRejection| {
            Problem::new(error.status(), "malformed", error.body_text())
        })?;
        Ok(Self(body))
    }
}

/// Numbers in the query.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::from_request_parts(parts, state).await;
        let Query(query) = query.map_err(|error: QueryRejection| {
            Problem::new(error.status(), "malformed", error.body_text())
        })?;
        Ok(Self(query))
    }
}

/// The room in the path, and what follows it.
pub(super) async fn path<T, S>(parts: &mut Parts, state: &S) -> Result<T, Problem>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    let path = Path::<T>::from_request_parts(parts, state).await;
    // An id that can't be one names nothing.
    path.map(|Path(path)| path)
        .map_err(|_| Problem::new(StatusCode::NOT_FOUND, "no_such_path", "not an id"))
}

/// The room in the path.
pub(super) struct InRoom(pub(super) RoomId);

impl<S: Send + Sync> FromRequestParts<S> for InRoom {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        path::<RoomId, S>(parts, state).await.map(Self)
    }
}
