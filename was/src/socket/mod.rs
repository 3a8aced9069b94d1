//! Sockets: accepted, upgraded, and served by one task each.

mod fragment;
mod incoming;
mod listener;
mod mailbox;
mod measured;
mod task;
mod upgrade;

pub use listener::accept;
pub use mailbox::{Bound, Item, Mailbox, Pushed};
pub use upgrade::upgrade;
