//! The store on a real Postgres: each test has a database of its own.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that can't go on has failed"
)]

mod append;
mod bad_data;
mod catch_up;
mod devices;
mod edits;
mod every;
mod fence;
mod find;
mod keys;
mod lanes;
mod lost_answer;
mod notices;
mod observed;
mod place;
mod pushes;
mod reading;
mod renewal;
mod setup;
mod spread;
mod stays;
mod tls;
mod writer;
