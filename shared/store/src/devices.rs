//! Devices: where a user's pushes go.

use protocol::{DeviceToken, Platform, UserId};
use tokio_postgres::Row;

use crate::row::{get, word};
use crate::statement::Statement;
use crate::{Store, StoreError};

/// The most devices that a user may have registered.
pub const MAX_DEVICES: i64 = 20;

/// A device of a user.
#[derive(Clone, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: i64,
    /// What it runs on.
    pub platform: Platform,
    /// What FCM knows it by.
    pub token: DeviceToken,
    /// Since when it is this user's, ms since 1970.
    pub since: i64,
}

pub(crate) const REGISTER: Statement = Statement::new(
    "device_register",
    "select id from device_register($1, $2, $3, $4) as id",
);

pub(crate) const DEVICES: Statement = Statement::new(
    "devices",
    "select id, platform, token, (extract(epoch from since) * 1000)::bigint as since
     from device
     where user_id = $1
     order by id",
);

pub(crate) const REMOVE: Statement = Statement::new(
    "device_remove",
    "delete from device where user_id = $1 and id = $2 returning id",
);

impl Store {
    /// Registers a device of a user and returns its id, the one that it has if it is registered. A
    /// token that was another user's is this one's from now on: the installation has been signed in
    /// to anew. None: the user has [`MAX_DEVICES`] others.
    pub async fn register_device(
        &self,
        user: UserId,
        platform: Platform,
        token: &DeviceToken,
    ) -> Result<Option<i64>, StoreError> {
        let (user, platform) = (user.get(), platform.as_str());
        let rows = self
            .run(
                &REGISTER,
                &[&user, &platform, &token.expose(), &MAX_DEVICES],
            )
            .await?;
        rows.first().map(|row| get(row, "id")).transpose()
    }

    /// A user's devices, by id.
    pub async fn devices(&self, user: UserId) -> Result<Vec<Device>, StoreError> {
        let rows = self.run(&DEVICES, &[&user.get()]).await?;
        rows.iter().map(device).collect()
    }

    /// Removes a device of a user; whether there was one.
    pub async fn remove_device(&self, user: UserId, id: i64) -> Result<bool, StoreError> {
        let rows = self.run(&REMOVE, &[&user.get(), &id]).await?;
        Ok(!rows.is_empty())
    }
}

fn device(row: &Row) -> Result<Device, StoreError> {
    let token: String = get(row, "token")?;
    let corrupt = |_| StoreError::Corrupt("a device's token is none".to_owned());
    Ok(Device {
        id: get(row, "id")?,
        platform: word(row, "platform")?,
        token: DeviceToken::try_from(token).map_err(corrupt)?,
        since: get(row, "since")?,
    })
}
