//! A room's history, by seq, in both directions.

#![expect(
    unused_qualifications,
    reason = "the macro that documents query parameters writes them"
)]

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use protocol::{Event, MAX_ID, Seq};
use serde::{Deserialize, Serialize};
use store::Page;
use utoipa::{IntoParams, ToSchema};

use super::bearer::Caller;
use super::body::{Asked, InRoom};
use super::problem::Problem;
use crate::gateway::Gateway;

const LIMIT: i64 = 50;
const MOST: i64 = 500;

/// Which part.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct Part {
    /// The first ones above this seq.
    after: Option<i64>,
    /// The last ones below this seq; without either, the last ones of all.
    before: Option<i64>,
    /// How many at most: 1 to 500, 50 if not said.
    limit: Option<i64>,
}

/// A part of a history.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Messages {
    /// Messages and events by seq, as the socket sends them.
    #[schema(value_type = Vec<Object>)]
    messages: Vec<Event>,
    /// The highest seq that the caller may see.
    #[schema(value_type = i64)]
    head: Seq,
}

/// Shows a part of a room's history: what was said while the caller was a member.
#[utoipa::path(
    get, path = "/v1/rooms/{room}/messages", params(("room" = i64, Path), Part),
    security(("bearer" = [])),
    responses((status = 200, body = Messages), (status = "default", body = Problem))
)]
pub(super) async fn page(
    State(gateway): State<Arc<Gateway>>,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    Asked(part): Asked<Part>,
) -> Result<Json<Messages>, Problem> {
    gateway.allow_read(caller)?;
    let malformed = |text: &str| Problem::new(StatusCode::BAD_REQUEST, "malformed", text);
    let seq = |n| Seq::new(n).map_err(|_| malformed("after and before are seqs"));
    let page = match (part.after, part.before) {
        (Some(_), Some(_)) => return Err(malformed("either after or before")),
        (Some(after), None) => Page::After(seq(after)?),
        (None, before) => Page::Before(seq(before.unwrap_or(MAX_ID))?),
    };
    let limit = part.limit.unwrap_or(LIMIT);
    if !(1..=MOST).contains(&limit) {
        return Err(malformed("limit is 1 to 500"));
    }
    let store = gateway.ask_store().await?;
    let history = store.history(caller, room, page, limit).await?;
    let history = history.ok_or_else(Problem::no_room)?;
    Ok(Json(Messages {
        messages: history.events,
        head: history.head,
    }))
}
