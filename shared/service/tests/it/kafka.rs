//! The Kafka clients, against a real broker.

mod place;

mod produce;
mod read;
mod topics;
