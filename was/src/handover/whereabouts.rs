//! What handing on asks of Redis.

use std::sync::Arc;

use protocol::UserId;
use routing::decide::View;
use routing::{HomeTable, Route, RouteTable, RoutingError};

/// Routes and homes as they stand now: Redis's, or a test's.
pub trait Whereabouts: Send + Sync {
    /// The routes of `users`, in their order, by no cache.
    fn current(
        &self,
        users: &[UserId],
    ) -> impl Future<Output = Result<Vec<Arc<[Route]>>, RoutingError>> + Send;

    /// Removes those of `dead` that still stand as they were read, and says how many did (trap 6).
    fn prune(
        &self,
        user: UserId,
        dead: &[Route],
    ) -> impl Future<Output = Result<usize, RoutingError>> + Send;

    /// The table of homes.
    fn look(&self) -> impl Future<Output = Result<View, RoutingError>> + Send;
}

/// Both tables in Redis.
#[derive(Clone)]
pub struct Tables {
    /// The routes.
    pub routes: RouteTable,
    /// The homes.
    pub homes: HomeTable,
}

impl Whereabouts for Tables {
    async fn current(&self, users: &[UserId]) -> Result<Vec<Arc<[Route]>>, RoutingError> {
        self.routes.current(users).await
    }

    async fn prune(&self, user: UserId, dead: &[Route]) -> Result<usize, RoutingError> {
        self.routes.prune(user, dead).await
    }

    async fn look(&self) -> Result<View, RoutingError> {
        self.homes.look().await
    }
}
