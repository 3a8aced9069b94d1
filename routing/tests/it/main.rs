//! Homes and routes on a real Redis.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that panics says by that what it expected"
)]

mod cluster;
mod homes;
mod keeper;
mod markers;
mod outage;
mod place;
mod routes;
mod sentinels;
mod tls;
