//! Whether Redis answers. Once it did not, nobody waits for it before it has answered a ping.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::{info, warn};

use super::RouteTable;
use crate::connection::RoutingError;

/// Between two pings while Redis is away.
const AGAIN: Duration = Duration::from_millis(50);

impl RouteTable {
    pub(super) fn is_away(&self) -> bool {
        self.shared.away.load(Ordering::Relaxed)
    }

    /// Redis did not answer: until it does again, nobody asks. Whoever notices it first starts to ask
    /// for it; that ends with the answer, or with the table.
    pub(super) fn away(&self, error: &RoutingError) {
        if self.shared.away.swap(true, Ordering::Relaxed) {
            return;
        }
        // Once, and not by each of those who are not answered.
        warn!(%error, kind = error.label(), "Redis does not answer");
        let (redis, shared) = (self.redis.clone(), Arc::downgrade(&self.shared));
        tokio::spawn(async move {
            loop {
                let answers = redis.ping().await.is_ok();
                let Some(shared) = shared.upgrade() else {
                    return;
                };
                if answers {
                    shared.away.store(false, Ordering::Relaxed);
                    info!("Redis answers again");
                    return;
                }
                drop(shared);
                tokio::time::sleep(AGAIN).await;
            }
        });
    }
}
