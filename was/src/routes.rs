//! Routes of the sessions here: written on connect, made sure of by the audit, removed on close. A dead
//! one is removed by whoever hands on what came for it ([`crate::handover`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::{CloseCode, DeliveryHeaders, ServerFrame, UserId};
use routing::decide::{Standing, standing};
use routing::{HomeTable, Restored, Route, RouteTable, RoutingError};
use service::kafka::Outgoing;

use crate::commands::Commands;
use crate::gateway::Identity;
use crate::handover::Judged;
use crate::metrics::Observed;
use crate::registry::Registry;
use crate::session::{Writing, Written};
use crate::socket::Bound;

/// Sessions of one device that are judged before a route is written again some time later.
const JUDGED: usize = 3;
/// How long a removal is tried for. A route that stays until then is removed when it is found dead.
const REMOVE_WITHIN: Duration = Duration::from_secs(10);
/// Before a removal is tried once more; doubles each time.
const REMOVE_AGAIN: Duration = Duration::from_millis(100);

/// The routes of this gateway.
#[derive(Clone)]
pub struct Routes {
    table: RouteTable,
    homes: HomeTable,
    commands: Commands,
    registry: Arc<Registry>,
    observed: Arc<Observed>,
    bound: Bound,
}

impl Routes {
    /// Over a table of routes, and the table of homes that says which of them lead to nobody.
    pub fn new(
        table: RouteTable,
        homes: HomeTable,
        commands: Commands,
        registry: Arc<Registry>,
        observed: Arc<Observed>,
        bound: Bound,
    ) -> Self {
        Self {
            table,
            homes,
            commands,
            registry,
            observed,
            bound,
        }
    }

    /// Writes a new session's route; whoever had the device before is closed. Nothing of it stays
    /// when the session has left the registry meanwhile: a later session of the device, here or
    /// elsewhere, may have been the one that had the device.
    pub async fn write(&self, identity: &Identity) -> Written {
        let _turn = identity.turn.lock().await;
        let (user, device, route) = identity.entry();
        if !self.registry.has(route.session) {
            return Written::Failed;
        }
        let mut written = self.table.write(user, device, route).await;
        if let Err(RoutingError::Full) = written {
            written = match self.clear(user, route).await {
                Ok(Some(0)) => Err(RoutingError::Full),
                Ok(Some(_)) => self.table.write(user, device, route).await,
                Ok(None) => return Written::Failed,
                Err(error) => Err(error),
            };
        }
        match written {
            Ok(older) => {
                let older = older.filter(|older| older.session != route.session);
                if !self.registry.has(route.session) {
                    self.take_back(identity, older.as_ref()).await;
                } else if let Some(older) = older {
                    self.evict(&older, route);
                }
                Written::Stands
            }
            Err(RoutingError::Full) => Written::Full,
            Err(error) => {
                self.failed(&error);
                Written::Failed
            }
        }
    }

    /// Removes those routes of a user that lead to nobody, and says how many did: a gateway that died
    /// has left its own, and they stay until a message comes for the user. `mine` is of a session here.
    /// None: in the grace that can't be known, and nobody is to be told for good that he has too many.
    async fn clear(&self, user: UserId, mine: &Route) -> Result<Option<usize>, RoutingError> {
        let found = self.table.current(&[user]).await?;
        let view = self.homes.look().await?;
        let own = Some((mine.home, mine.incarnation));
        let here = |session| self.registry.has(session);
        let dead = Judged::of(&found[0], &view, true, own, here).dead;
        let pruned = self.table.prune(user, &dead).await?;
        self.observed.routes_pruned.inc_by(pruned as u64);
        Ok((pruned > 0 || !view.in_grace()).then_some(pruned))
    }

    /// Undoes the write of a session that had gone by then: what it replaced stands again, unless
    /// another session has taken the device.
    async fn take_back(&self, identity: &Identity, older: Option<&Route>) {
        let (user, device, route) = identity.entry();
        if let Err(error) = self.table.remove(user, device, route).await {
            self.failed(&error);
        }
        if let Some(older) = older
            && let Err(error) = self.table.restore(user, device, older, None).await
        {
            self.failed(&error);
        }
    }

    /// Makes sure that a session's route stands, for the audit or after a loss. Without effect on
    /// another living session of the device: then this one is closed.
    pub async fn restore(&self, identity: &Identity, why: Writing) -> Written {
        let _turn = identity.turn.lock().await;
        let (user, device, route) = identity.entry();
        if !self.registry.has(route.session) {
            return Written::Failed;
        }
        let mut dead = None;
        for _ in 0..JUDGED {
            let restored = self.table.restore(user, device, route, dead.as_ref());
            match restored.await {
                Ok(Restored::Present) => return Written::Stands,
                Ok(Restored::Written) => {
                    if why == Writing::Audit {
                        self.observed.routes_restored.inc();
                    } else {
                        self.observed.routes_rebuilt.inc();
                    }
                    return Written::Restored;
                }
                Ok(Restored::Replaced(other)) => match self.judge(&other, route).await {
                    Some(Standing::Dead) => dead = Some(other),
                    Some(Standing::Alive | Standing::Ahead) => {
                        self.registry
                            .end(route.session, CloseCode::Replaced, self.bound);
                        return Written::Stands;
                    }
                    None => return Written::Failed,
                },
                Err(error) => {
                    self.failed(&error);
                    return Written::Failed;
                }
            }
        }
        Written::Failed
    }

    /// Whether another session that stands in the place of `mine` lives. A Redis that failed over to an
    /// older copy shows sessions that have long gone, and nobody is to be closed for one of those. None:
    /// not to be known now.
    async fn judge(&self, other: &Route, mine: &Route) -> Option<Standing> {
        let view = match self.homes.look().await {
            Ok(view) => view,
            Err(error) => {
                self.failed(&error);
                return None;
            }
        };
        let here = |session| self.registry.has(session);
        let own = Some((mine.home, mine.incarnation));
        match standing(other, &view, true, own, here) {
            // In the grace nobody is dead, and nobody is sure to live.
            Standing::Alive if view.in_grace() && !here(other.session) => None,
            standing => Some(standing),
        }
    }

    /// Removes a session's own route: compared, then deleted, in one step (trap 6). The session has
    /// left the registry: the write under way is waited for, later ones do nothing.
    pub async fn remove(&self, identity: &Identity) {
        let _turn = identity.turn.lock().await;
        let (user, device, route) = identity.entry();
        let (begun, mut pause) = (Instant::now(), REMOVE_AGAIN);
        while let Err(error) = self.table.remove(user, device, route).await {
            self.failed(&error);
            if begun.elapsed() + pause > REMOVE_WITHIN {
                return;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    fn evict(&self, older: &Route, by: &Route) {
        if self
            .registry
            .end(older.session, CloseCode::Replaced, self.bound)
        {
            return;
        }
        self.commands.to_home(Outgoing {
            partition: Some(older.home.0),
            headers: DeliveryHeaders::answer(older.session).encode(),
            payload: Some(ServerFrame::Evict { by: by.session }.encode()),
            ..Outgoing::to(self.commands.topics().receive())
        });
    }

    fn failed(&self, error: &RoutingError) {
        self.observed.route_failures.inc();
        tracing::debug!(error = service::lifecycle::chain(error), "route");
    }
}
