//! The client against a gateway that a test plays by hand, over real sockets.

mod gateway;
mod reconnecting;
mod resending;
mod resuming;
