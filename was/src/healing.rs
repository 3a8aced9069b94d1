//! Notices that routes of sessions here are gone, and has them written again: those of a whole shard
//! by its marker, a single one by looking for it.

use std::sync::Arc;
use std::time::Duration;

use protocol::UserId;
use routing::{GOOD_AFTER, Held, Looked, Markers, RouteTable, RoutingError, Shard};
use tokio_util::sync::CancellationToken;

use crate::metrics::Observed;
use crate::registry::{Registry, Serving};
use crate::socket::Bound;

/// Looks at the markers in a lease, and in the time after which a new marker is believed.
const LOOKS_PER_LEASE: u32 = 4;
/// Looks until every route was looked for: 8 s by default. At each of them the routes in one shard of
/// so many are read: of 50,000 users some 3,000.
const LOOKS_PER_ROUND: u32 = 16;
/// Users whose routes are read together.
const TOGETHER: usize = 500;

/// The task that notices.
pub struct Healing {
    /// The home that routes lead to.
    pub serving: Serving,
    /// The markers, as known here.
    pub markers: Markers,
    /// The routes.
    pub table: RouteTable,
    /// Whose routes they are.
    pub registry: Arc<Registry>,
    /// Metrics.
    pub observed: Arc<Observed>,
    /// The mailboxes' bound.
    pub bound: Bound,
    /// The home's lease.
    pub lease: Duration,
    /// Ends the task.
    pub stop: CancellationToken,
}

impl Healing {
    /// Looks until stopped.
    pub async fn run(mut self) {
        let every = self.lease.min(GOOD_AFTER) / LOOKS_PER_LEASE;
        let mut due = tokio::time::interval(every);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut looks, mut unsure) = (0, false);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = due.tick() => {}
            }
            // While Redis is away nothing is found out; what is known of the markers stays. After that
            // it may be an older copy of itself, whose markers are the same: all routes are looked for.
            let part = (!unsure).then_some(looks % LOOKS_PER_ROUND);
            let looked = self.look(part).await;
            unsure = looked.unwrap_or_else(|error| {
                self.observed.route_failures.inc();
                let error = service::lifecycle::chain(&error);
                tracing::debug!(error, "markers and routes");
                true
            });
            looks += 1;
        }
    }

    /// One look; whether all routes are to be looked for at the next one.
    async fn look(&mut self, part: Option<u32>) -> Result<bool, RoutingError> {
        let Looked {
            lost,
            doubtful,
            failure,
        } = self.markers.look().await;
        // Without a home there are no routes to be written; the next claim writes all of them. If none
        // comes, as a lease was only late, all routes are looked for: the markers are remembered by now.
        let Some(held) = self.serving.held() else {
            return failure.map_or(Ok(true), Err);
        };
        if !lost.is_empty() {
            let here = self.registry.in_shards(|shard| lost.contains(&shard));
            let sessions = here.iter().flat_map(|(_, sessions)| sessions);
            let told = sessions
                .filter(|session| self.registry.rebuild_one(**session, &held, self.bound))
                .count();
            if told > 0 {
                self.observed.shards_lost.inc_by(lost.len() as u64);
                tracing::warn!(shards = lost.len(), sessions = told, "routes were lost");
            }
        }
        // Of the servers that answered everything is done by now.
        if let Some(failure) = failure {
            return Err(failure);
        }
        self.search(part.filter(|_| !doubtful), &held).await?;
        Ok(false)
    }

    /// Looks for the routes of a part of the sessions, or of all. One that is being written right now
    /// is not found either: then it is written twice.
    async fn search(&self, part: Option<u32>, held: &Held) -> Result<(), RoutingError> {
        let of = |shard: Shard| u32::from(shard.number()) % LOOKS_PER_ROUND;
        let here = self
            .registry
            .in_shards(|shard| part.is_none_or(|part| of(shard) == part));
        for here in here.chunks(TOGETHER) {
            let users: Vec<UserId> = here.iter().map(|(user, _)| *user).collect();
            let found = self.table.current(&users).await?;
            for ((_, sessions), routes) in here.iter().zip(found) {
                for session in sessions {
                    let stands = routes.iter().any(|route| {
                        (route.session, route.home, route.incarnation)
                            == (*session, held.home, held.incarnation)
                    });
                    if !stands {
                        self.registry.rebuild_one(*session, held, self.bound);
                    }
                }
            }
        }
        Ok(())
    }
}
