//! Routes from Redis, through the bounded cache.

use std::collections::HashMap;

use protocol::{Home, UserId};
use routing::RouteTable;

use crate::ports::{Routes, RoutesError};

/// The routes in Redis.
#[derive(Clone)]
pub struct RedisRoutes(pub RouteTable);

impl Routes for RedisRoutes {
    async fn homes(&self, users: &[UserId]) -> Result<HashMap<UserId, Vec<Home>>, RoutesError> {
        let routes = self.0.lookup(users).await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            RoutesError(format!("{error}{}", cause.unwrap_or_default()))
        })?;
        let homes = routes.into_iter().map(|(user, routes)| {
            // Several devices on one home get one record between them.
            let mut homes: Vec<Home> = routes.iter().map(|route| route.home).collect();
            homes.sort_unstable();
            homes.dedup();
            (user, homes)
        });
        Ok(homes.collect())
    }
}
