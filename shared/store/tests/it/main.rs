//! The store on a real Postgres: each test has a database of its own.

mod append;
mod bad_data;
mod catch_up;
mod fence;
mod find;
mod lanes;
mod lost_answer;
mod place;
mod reading;
mod renewal;
mod setup;
mod stays;
mod writer;
