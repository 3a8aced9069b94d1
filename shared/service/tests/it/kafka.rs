//! The Kafka clients, against a real broker.

mod place;

mod cost;
mod gate;
mod produce;
mod proof;
mod read;
mod regain;
mod topics;
