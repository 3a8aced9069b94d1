//! Rooms: make, list, look at, rename, delete.

#![expect(
    unused_qualifications,
    reason = "the macro that documents query parameters writes them"
)]

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use protocol::{CommandKind, Event, Role, RoomId, RoomKind, Seq, UserId};
use serde::{Deserialize, Serialize};
use store::{RoomKey, RoomMember, RoomSummary};
use utoipa::{IntoParams, ToSchema};

use super::bearer::{Caller, CommandKey};
use super::body::{Asked, Body, InRoom};
use super::outcome::Done;
use super::problem::Problem;
use crate::gateway::Gateway;

const LISTED: i64 = 100;
const MOST_LISTED: i64 = 500;
/// Members of a new group that cost as much of the caller's rate as a command.
const LOOKED_UP: usize = 100;

/// A room to be made.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct NewRoom {
    /// `group` or `direct`.
    #[schema(value_type = String)]
    kind: RoomKind,
    /// A group's name.
    #[serde(default)]
    name: String,
    /// The others in it; oneself need not be named.
    #[serde(default)]
    #[schema(value_type = Vec<i64>)]
    members: Vec<UserId>,
}

/// A room that is there now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MadeRoom {
    /// Its id.
    #[schema(value_type = i64)]
    room: RoomId,
}

/// Makes a room; of a pair there is only one direct room, which a repeat names again.
#[utoipa::path(
    post, path = "/v1/rooms", request_body = NewRoom, security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "UUID; a repeat with the same one makes nothing new")),
    responses((status = 201, body = MadeRoom), (status = "default", body = Problem))
)]
pub(super) async fn create(
    State(gateway): State<Arc<Gateway>>,
    Caller(caller): Caller,
    key: CommandKey,
    Body(new): Body<NewRoom>,
) -> Result<(StatusCode, Json<MadeRoom>), Problem> {
    let mut members = new.members;
    members.push(caller);
    members.sort_unstable();
    members.dedup();
    // Each of them is looked up.
    for _ in members.chunks(LOOKED_UP) {
        gateway.allow_request(caller)?;
    }
    let reserved = match new.kind {
        RoomKind::Direct => {
            let &[one, other] = members.as_slice() else {
                return Err(Problem::invalid(
                    "a direct room has exactly one other member",
                ));
            };
            RoomKey::Direct(one, other)
        }
        RoomKind::Group => RoomKey::Created(caller, key.id),
    };
    let store = gateway.ask_store().await?;
    let room = store.reserve_room(reserved).await?;
    // Made before, by either of the two or under the same key.
    let made = store.room(caller, room).await?.is_some();
    drop(store);
    if made {
        return Ok((StatusCode::CREATED, Json(MadeRoom { room })));
    }
    gateway.allow_room(&members, room).await?;
    let name = if new.kind == RoomKind::Direct {
        String::new()
    } else {
        new.name
    };
    let kind = CommandKind::Create {
        room_kind: new.kind,
        name,
        members,
    };
    let Done { room, .. } = gateway.carry_out(caller, room, key, kind).await?;
    Ok((StatusCode::CREATED, Json(MadeRoom { room })))
}

/// One of the caller's rooms.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Summary {
    #[schema(value_type = i64)]
    room: RoomId,
    #[schema(value_type = String)]
    kind: RoomKind,
    name: String,
    /// The highest seq.
    #[schema(value_type = i64)]
    head: Seq,
    #[schema(value_type = String)]
    role: Role,
    /// Up to which seq the caller has read.
    #[schema(value_type = i64)]
    read: Seq,
    /// Messages of others above it, among the newest 1,000 entries.
    unread: i64,
    /// The last message, as the socket sends it; of its body the first 200 characters.
    #[schema(value_type = Option<Object>)]
    last: Option<Event>,
    /// Of a direct room, the other one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    peer: Option<UserId>,
}

impl From<RoomSummary> for Summary {
    fn from(room: RoomSummary) -> Self {
        Self {
            room: room.room,
            kind: room.kind,
            name: room.name,
            head: room.head,
            role: room.role,
            read: room.mark,
            unread: room.unread,
            last: room.last,
            peer: room.peer,
        }
    }
}

/// The caller's rooms.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Summaries {
    rooms: Vec<Summary>,
}

/// Which of the caller's rooms.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct Listed {
    /// Those with a higher id than this.
    after: Option<i64>,
    /// How many at most: 1 to 500, 100 if not said.
    limit: Option<i64>,
}

/// Lists the caller's rooms, by id.
#[utoipa::path(
    get, path = "/v1/rooms", params(Listed), security(("bearer" = [])),
    responses((status = 200, body = Summaries), (status = "default", body = Problem))
)]
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Caller(caller): Caller,
    Asked(listed): Asked<Listed>,
) -> Result<Json<Summaries>, Problem> {
    gateway.allow_read(caller)?;
    let malformed = |text: &str| Problem::new(StatusCode::BAD_REQUEST, "malformed", text);
    let after = listed.after.map(RoomId::new).transpose();
    let after = after.map_err(|_| malformed("after is a room's id"))?;
    let limit = listed.limit.unwrap_or(LISTED);
    if !(1..=MOST_LISTED).contains(&limit) {
        return Err(malformed("limit is 1 to 500"));
    }
    let store = gateway.ask_store().await?;
    let rooms = store.rooms_of(caller, after, limit).await?;
    Ok(Json(Summaries {
        rooms: rooms.into_iter().map(Summary::from).collect(),
    }))
}

/// A member of a room.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Member {
    #[schema(value_type = i64)]
    user: UserId,
    name: String,
    #[schema(value_type = String)]
    role: Role,
    /// The seq that they joined at.
    #[schema(value_type = i64)]
    joined: Seq,
    /// Up to which seq they have read.
    #[schema(value_type = i64)]
    read: Seq,
}

impl From<RoomMember> for Member {
    fn from(member: RoomMember) -> Self {
        Self {
            user: member.user,
            name: member.name,
            role: member.role,
            joined: member.joined_seq,
            read: member.mark,
        }
    }
}

/// A room and everybody in it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Room {
    #[schema(value_type = i64)]
    room: RoomId,
    #[schema(value_type = String)]
    kind: RoomKind,
    name: String,
    /// The highest seq.
    #[schema(value_type = i64)]
    head: Seq,
    members: Vec<Member>,
}

/// Shows a room to one of its members.
#[utoipa::path(
    get, path = "/v1/rooms/{room}", params(("room" = i64, Path)), security(("bearer" = [])),
    responses((status = 200, body = Room), (status = "default", body = Problem))
)]
pub(super) async fn one(
    State(gateway): State<Arc<Gateway>>,
    Caller(caller): Caller,
    InRoom(room): InRoom,
) -> Result<Json<Room>, Problem> {
    gateway.allow_read(caller)?;
    let view = gateway.ask_store().await?.room(caller, room).await?;
    let view = view.ok_or_else(Problem::no_room)?;
    Ok(Json(Room {
        room: view.room,
        kind: view.kind,
        name: view.name,
        head: view.head,
        members: view.members.into_iter().map(Member::from).collect(),
    }))
}

/// A group's new name.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Renamed {
    name: String,
}

/// Renames a group.
#[utoipa::path(
    patch, path = "/v1/rooms/{room}", params(("room" = i64, Path)), request_body = Renamed,
    security(("bearer" = [])),
    responses((status = 200, body = Done), (status = "default", body = Problem))
)]
pub(super) async fn rename(
    State(gateway): State<Arc<Gateway>>,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    key: CommandKey,
    Body(Renamed { name }): Body<Renamed>,
) -> Result<Json<Done>, Problem> {
    let kind = CommandKind::Rename { name };
    gateway.change(caller, room, key, kind).await
}

/// Deletes a group for everyone.
#[utoipa::path(
    delete, path = "/v1/rooms/{room}", params(("room" = i64, Path)), security(("bearer" = [])),
    responses((status = 200, body = Done), (status = "default", body = Problem))
)]
pub(super) async fn delete(
    State(gateway): State<Arc<Gateway>>,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    key: CommandKey,
) -> Result<Json<Done>, Problem> {
    let kind = CommandKind::DeleteRoom;
    gateway.change(caller, room, key, kind).await
}
