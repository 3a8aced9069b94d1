//! The session as a pure state machine: `Greeting → Registering → CatchingUp → Live → Closing`.
//!
//! Inputs are what happened (a frame, a record of the home, an answer, the time), outputs are what
//! is to be done. There is no socket, no clock and no randomness here, so that every order of
//! events can be tried by a test; `crate::socket` carries the outputs out.

mod asked;
mod heartbeat;
mod jitter;
mod machine;
mod message;
mod order;
mod refusal;
mod rules;
#[cfg(test)]
mod tests;

pub use machine::{Phase, Session};
pub use message::{Answer, Hello, Input, Now, Output, Query, RoomAnswer, Writing, Written};
pub use order::{Order, Rooms};
pub use rules::Rules;
