//! Where each user's sessions are, in Redis.

mod cache;
mod hints;
mod lookup;
mod route;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::try_join_all;
use protocol::UserId;
use tracing::warn;

use crate::connection::{Redis, RoutingError};
use crate::markers::Shard;
use crate::operation::Operation;
use crate::place::Place;
pub use cache::{Cache, ROUTE_CACHE};
pub use lookup::Lookup;
pub use route::{BadRoute, Route};

/// What became of a route that was written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// It stood there all along.
    Present,
    /// It was missing, or stood for an earlier incarnation of the home, or a dead one stood in its
    /// place; now it is there.
    Written,
    /// Another session of the device has taken its place. Nothing was written.
    Replaced(Route),
}

/// The routes of all users, seen through a cache of bounded age and size.
#[derive(Clone)]
pub struct RouteTable {
    redis: Redis,
    shared: Arc<Shared>,
    most: usize,
}

struct Shared {
    cache: Mutex<Cache>,
    write: Operation,
    restore: Operation,
    remove: Operation,
    prune: Operation,
}

impl RouteTable {
    /// The routes in `redis`. Clones share one cache.
    pub fn new(redis: &Redis) -> Self {
        Self {
            redis: redis.clone(),
            most: usize::MAX,
            shared: Arc::new(Shared {
                cache: Mutex::new(Cache::new()),
                write: Operation::in_turn("write a route", include_str!("lua/route_write.lua")),
                restore: Operation::in_turn(
                    "restore a route",
                    include_str!("lua/route_restore.lua"),
                ),
                remove: Operation::in_turn("remove a route", include_str!("lua/route_remove.lua")),
                prune: Operation::in_turn("prune dead routes", include_str!("lua/route_prune.lua")),
            }),
        }
    }

    /// The same, for whoever gives no user more than `most` of them (I9).
    #[must_use]
    pub fn with_most(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// Writes the route of a new session. Answers with the route of the session that had this device
    /// before, if there was one: it is to be told to close. Whoever hears hints forgets what it knew
    /// of the user.
    ///
    /// # Errors
    /// [`RoutingError::Full`] when it would be one more than the user may have. After any other it may have been
    /// written, or not.
    pub async fn write(
        &self,
        user: UserId,
        device: &str,
        route: &Route,
    ) -> Result<Option<Route>, RoutingError> {
        let (full, older): (bool, Option<Vec<u8>>) = self
            .redis
            .run(
                &self.shared.write,
                (place(user), &self.key(user)),
                (
                    device,
                    route.to_string(),
                    route.session.to_string(),
                    self.channel(),
                    user.get(),
                    self.most,
                ),
            )
            .await?;
        if full {
            return Err(RoutingError::Full);
        }
        Ok(older.and_then(|text| decode(user, &text)))
    }

    /// Writes the route of a session that should have one already, as long as no other session of
    /// the device has but `dead`, which the caller knows to be dead. For whoever makes sure, now and
    /// then or after a loss, that it is there.
    pub async fn restore(
        &self,
        user: UserId,
        device: &str,
        route: &Route,
        dead: Option<&Route>,
    ) -> Result<Restored, RoutingError> {
        let (outcome, other): (u8, Option<Vec<u8>>) = self
            .redis
            .run(
                &self.shared.restore,
                (place(user), &self.key(user)),
                (
                    device,
                    route.to_string(),
                    route.session.to_string(),
                    self.channel(),
                    user.get(),
                    dead.map(Route::to_string).unwrap_or_default(),
                ),
            )
            .await?;
        let other = other.and_then(|text| decode(user, &text));
        Ok(match (outcome, other) {
            (_, Some(other)) => Restored::Replaced(other),
            (0, None) => Restored::Present,
            (_, None) => Restored::Written,
        })
    }

    /// Removes a session's own route. Says whether it was there; one that a newer session of the
    /// device has written meanwhile stays (trap 6).
    pub async fn remove(
        &self,
        user: UserId,
        device: &str,
        route: &Route,
    ) -> Result<bool, RoutingError> {
        self.redis
            .run(
                &self.shared.remove,
                (place(user), &self.key(user)),
                (device, route.to_string()),
            )
            .await
    }

    /// Removes those of `dead` that still stand, as they were read, and says how many did. What was
    /// written meanwhile stays (trap 6).
    pub async fn prune(&self, user: UserId, dead: &[Route]) -> Result<usize, RoutingError> {
        let dead: Vec<String> = dead.iter().map(Route::to_string).collect();
        self.redis
            .run(&self.shared.prune, (place(user), &self.key(user)), dead)
            .await
    }

    /// The routes of `users`, in their order, as they stand now, whether their shards can be believed
    /// or not: for whoever looks whether its own are there. In one request, so not for more than some
    /// hundred users.
    ///
    /// # Errors
    /// [`RoutingError::Away`] or [`RoutingError::Redis`] when one of the servers can't be asked.
    pub async fn current(&self, users: &[UserId]) -> Result<Vec<Arc<[Route]>>, RoutingError> {
        let (parts, nowhere) = self.redis.by_server(users, place);
        if !nowhere.is_empty() {
            return Err(RoutingError::Away);
        }
        let asked = parts.iter().map(async |(server, users)| {
            let mut pipeline = redis::Pipeline::with_capacity(users.len());
            for user in users {
                pipeline.hvals(self.key(*user));
            }
            let turn = server.turn().await;
            let answers: Vec<Vec<Vec<u8>>> = turn.ask("read routes", &pipeline).await?;
            Ok::<_, RoutingError>(users.iter().zip(answers))
        });
        let mut found = HashMap::with_capacity(users.len());
        for part in try_join_all(asked).await? {
            for (user, texts) in part {
                let routes = texts.iter().filter_map(|text| decode(*user, text));
                found.insert(*user, routes.collect::<Arc<[Route]>>());
            }
        }
        let routes = users.iter().map(|user| found.get(user).cloned());
        Ok(routes.map(Option::unwrap_or_default).collect())
    }

    fn key(&self, user: UserId) -> String {
        self.redis
            .key(format_args!("route:{}:{user}", Shard::of(user)))
    }

    /// A panic of another thread leaves the cache whole: each change to it is one insert.
    fn cached<T>(&self, look: impl FnOnce(&mut Cache) -> T) -> T {
        look(
            &mut self
                .shared
                .cache
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

fn place(user: UserId) -> Place {
    Place::Routes(Shard::of(user))
}

/// A route that nobody here could have written is left out, loudly: it must not stop everyone else's
/// messages, and its session, if there is one, writes its route again.
fn decode(user: UserId, text: &[u8]) -> Option<Route> {
    let route = std::str::from_utf8(text)
        .map_err(|_| BadRoute)
        .and_then(str::parse);
    route
        .inspect_err(|_| warn!(%user, route = %text.escape_ascii(), "unreadable route"))
        .ok()
}
