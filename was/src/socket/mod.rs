//! Sockets: accepted, upgraded, and served by one task each.

mod connection;
mod fragment;
mod incoming;
mod line;
mod listener;
mod mailbox;
mod place;
mod task;
mod upgrade;

pub use listener::accept;
pub use mailbox::{Bound, Item, Mailbox, Pushed};
pub use upgrade::upgrade;
