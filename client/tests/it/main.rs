//! The client against a gateway that a test plays by hand, over real sockets.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails says so by panicking"
)]

mod gateway;
mod reconnecting;
mod resending;
mod resuming;
