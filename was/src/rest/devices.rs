//! Devices: where the caller is pushed while not connected.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use http::StatusCode;
use http::request::Parts;
use protocol::{DeviceToken, Platform, format_ms};
use serde::{Deserialize, Serialize};
use store::MAX_DEVICES;
use utoipa::ToSchema;

use super::bearer::Caller;
use super::body::{Body, path};
use super::problem::Problem;
use crate::gateway::Gateway;

/// The device in the path.
pub(super) struct OfDevice(i64);

impl<S: Send + Sync> FromRequestParts<S> for OfDevice {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        path::<i64, S>(parts, state).await.map(Self)
    }
}

/// An installation of an app.
#[derive(Deserialize, ToSchema)]
pub(super) struct NewDevice {
    /// `android`, `ios` or `web`.
    #[schema(value_type = String)]
    platform: Platform,
    /// What FCM gave to the app: 1 to 1,024 characters of ASCII.
    #[schema(value_type = String)]
    token: DeviceToken,
}

/// A device that is registered.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Registered {
    /// Its id; the same one for as long as its token stays.
    id: i64,
}

/// Registers a device; safe to repeat. A token that was registered by another user is the caller's
/// from then on. A user has at most 20 devices.
#[utoipa::path(
    post, path = "/v1/devices", request_body = NewDevice, security(("bearer" = [])),
    responses((status = 200, body = Registered), (status = "default", body = Problem))
)]
pub(super) async fn register(
    State(gateway): State<Arc<Gateway>>,
    Caller(caller): Caller,
    Body(NewDevice { platform, token }): Body<NewDevice>,
) -> Result<Json<Registered>, Problem> {
    gateway.allow_request(caller)?;
    let store = gateway.ask_store().await?;
    let id = store.register_device(caller, platform, &token).await?;
    let id = id.ok_or_else(|| {
        let text = format!("you have {MAX_DEVICES} devices, remove one first");
        Problem::new(StatusCode::CONFLICT, "too_many_devices", text)
    })?;
    Ok(Json(Registered { id }))
}

/// One of the caller's devices. Its token is nobody's to read.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Shown {
    id: i64,
    #[schema(value_type = String)]
    platform: Platform,
    /// Since when it is the caller's, RFC 3339.
    since: String,
}

/// The caller's devices.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Devices {
    devices: Vec<Shown>,
}

/// Lists the caller's devices, by id.
#[utoipa::path(
    get, path = "/v1/devices", security(("bearer" = [])),
    responses((status = 200, body = Devices), (status = "default", body = Problem))
)]
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Caller(caller): Caller,
) -> Result<Json<Devices>, Problem> {
    gateway.allow_read(caller)?;
    let devices = gateway.ask_store().await?.devices(caller).await?;
    let shown = devices.into_iter().map(|device| Shown {
        id: device.id,
        platform: device.platform,
        since: format_ms(device.since),
    });
    Ok(Json(Devices {
        devices: shown.collect(),
    }))
}

/// Removes one of the caller's devices: nothing is pushed to it any more.
#[utoipa::path(
    delete, path = "/v1/devices/{device}", params(("device" = i64, Path)),
    security(("bearer" = [])),
    responses((status = 204), (status = "default", body = Problem))
)]
pub(super) async fn remove(
    State(gateway): State<Arc<Gateway>>,
    Caller(caller): Caller,
    OfDevice(device): OfDevice,
) -> Result<StatusCode, Problem> {
    gateway.allow_request(caller)?;
    let store = gateway.ask_store().await?;
    match store.remove_device(caller, device).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => {
            let text = "you have no such device";
            Err(Problem::new(StatusCode::NOT_FOUND, "no_such_device", text))
        }
    }
}
