//! Who owns what, and where a user's sessions are.
//!
//! [`decide`] is the pure core that lanes (leased in Postgres) and homes (leased in Redis) share: a
//! table, a member and the time in, actions out. Around it stand the two tables that live in Redis,
//! because they share their fate: the homes ([`HomeTable`], kept by a [`HomeKeeper`]) and the routes
//! ([`RouteTable`]), with a marker in each shard that tells when it has lost its memory ([`Markers`]).
//!
//! Absent on purpose: lanes' leases (they live beside the data they fence, in `store`), Kafka, and
//! any other user of Redis.

mod clock;
mod connection;
pub mod decide;
mod homes;
mod keeper;
mod markers;
mod observe;
mod operation;
mod place;
mod routes;
mod server;
mod servers;
mod settings;

pub use clock::since_boot;
pub use connection::{Redis, RoutingError};
pub use homes::HomeTable;
pub use keeper::{Held, HomeKeeper, HomeSettings, HomeState};
pub use markers::{GOOD_AFTER, Looked, Markers, Shard};
pub use observe::RequestObserver;
pub use routes::{BadRoute, Cache, Lookup, ROUTE_CACHE, Restored, Route, RouteTable};
pub use settings::RedisSettings;
