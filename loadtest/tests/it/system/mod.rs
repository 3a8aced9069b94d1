//! The system as its users see it: real processes on real Kafka, Postgres and Redis.

mod absence;
mod bench;
mod custody;
mod delivery;
mod faults;
mod members;
mod ownership;
mod poison;
mod redis;
mod retries;
mod rooms;
mod tls;
mod trace;
