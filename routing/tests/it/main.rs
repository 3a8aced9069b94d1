//! Homes and routes on a real Redis.

mod homes;
mod keeper;
mod outage;
mod place;
mod routes;
