//! Members: add, change the role of, remove; oneself: leave.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use http::request::Parts;
use protocol::{CommandKind, Role, RoomId, UserId};
use serde::Deserialize;
use utoipa::ToSchema;

use super::bearer::{Caller, CommandKey};
use super::body::{Body, InRoom, path};
use super::outcome::Done;
use super::problem::Problem;
use crate::gateway::Gateway;

/// The room and the member in the path.
pub(super) struct OfRoom(RoomId, UserId);

impl<S: Send + Sync> FromRequestParts<S> for OfRoom {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        path::<(RoomId, UserId), S>(parts, state)
            .await
            .map(|(room, user)| Self(room, user))
    }
}

/// Who is to join.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct NewMember {
    #[schema(value_type = i64)]
    user: UserId,
}

/// Adds a member.
#[utoipa::path(
    post, path = "/v1/rooms/{room}/members", params(("room" = i64, Path)),
    request_body = NewMember, security(("bearer" = [])),
    responses((status = 200, body = Done), (status = "default", body = Problem))
)]
pub(super) async fn add(
    State(gateway): State<Arc<Gateway>>,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    key: CommandKey,
    Body(NewMember { user }): Body<NewMember>,
) -> Result<Json<Done>, Problem> {
    gateway.allow_request(caller)?;
    gateway.allow_room(&[user], room).await?;
    gateway
        .carry_out(caller, room, key, CommandKind::Add { user })
        .await
        .map(Json)
}

/// What a member may do from now on.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct NewRole {
    /// `member`, `admin` or `owner`.
    #[schema(value_type = String)]
    role: Role,
}

/// Changes a member's role.
#[utoipa::path(
    patch, path = "/v1/rooms/{room}/members/{user}",
    params(("room" = i64, Path), ("user" = i64, Path)),
    request_body = NewRole, security(("bearer" = [])),
    responses((status = 200, body = Done), (status = "default", body = Problem))
)]
pub(super) async fn role(
    State(gateway): State<Arc<Gateway>>,
    Caller(caller): Caller,
    OfRoom(room, user): OfRoom,
    key: CommandKey,
    Body(NewRole { role }): Body<NewRole>,
) -> Result<Json<Done>, Problem> {
    let kind = CommandKind::Role { user, role };
    gateway.change(caller, room, key, kind).await
}

/// Removes a member; oneself: leaves.
#[utoipa::path(
    delete, path = "/v1/rooms/{room}/members/{user}",
    params(("room" = i64, Path), ("user" = i64, Path)), security(("bearer" = [])),
    responses((status = 200, body = Done), (status = "default", body = Problem))
)]
pub(super) async fn remove(
    State(gateway): State<Arc<Gateway>>,
    Caller(caller): Caller,
    OfRoom(room, user): OfRoom,
    key: CommandKey,
) -> Result<Json<Done>, Problem> {
    let kind = CommandKind::Remove { user };
    gateway.change(caller, room, key, kind).await
}
