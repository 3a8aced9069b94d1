//! Routes from Redis, through the bounded cache or past it.

use std::error::Error as _;

use protocol::{Home, UserId};
use routing::{Lookup, RouteTable, RoutingError};

use crate::ports::{Routes, RoutesError, Whereabouts};

/// The routes in Redis, as they were at most so long ago as may be.
#[derive(Clone)]
pub struct RedisRoutes(pub RouteTable);

/// The routes in Redis as they are: for who asks for each user once.
#[derive(Clone)]
pub struct FreshRoutes(pub RouteTable);

impl Routes for RedisRoutes {
    async fn homes(&self, users: &[UserId]) -> Whereabouts {
        whereabouts(self.0.lookup(users).await)
    }
}

impl Routes for FreshRoutes {
    async fn homes(&self, users: &[UserId]) -> Whereabouts {
        whereabouts(self.0.fresh(users).await)
    }
}

fn whereabouts(found: Lookup) -> Whereabouts {
    let known = found.known.into_iter().map(|(user, routes)| {
        // Several devices on one home get one record between them.
        let mut homes: Vec<Home> = routes.iter().map(|route| route.home).collect();
        homes.sort_unstable();
        homes.dedup();
        (user, homes)
    });
    Whereabouts {
        known: known.collect(),
        failure: found.failure.as_ref().map(told),
    }
}

fn told(error: &RoutingError) -> RoutesError {
    let cause = error.source().map(|cause| format!(": {cause}"));
    RoutesError(format!("{error}{}", cause.unwrap_or_default()))
}
