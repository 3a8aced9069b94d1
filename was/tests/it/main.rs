//! The gateway as a process on real Kafka, Postgres and Redis; the tests stand where the classifier
//! would, so that they decide what is stored, when, and what is sent to the home.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "functions that tests share fail a test as the tests themselves do"
)]

mod broadcast;
mod custody;
mod desk;
mod devices;
mod doors;
mod forgetting;
mod frames;
mod homes;
mod house;
mod measured;
mod memory;
mod rest;
mod routes;
mod sessions;
mod settings;
mod slow;
mod socket;
mod stewards;
mod stopping;
