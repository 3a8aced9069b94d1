//! The client library: for bots, for the terminal client, and for whatever drives the system in tests and load runs.
//!
//! ```no_run
//! use client::{Client, Event, Options, Rest};
//!
//! # async fn bot() -> Result<(), Box<dyn std::error::Error>> {
//! let url = "http://127.0.0.1:8081".to_owned();
//! let me = Rest::new(&url).dev_token("echo").await?;
//! let (client, mut events) = Client::connect(Options::new(vec![url], me.token, "echo-bot"));
//! while let Some(event) = events.next().await {
//!     match event {
//!         Event::Message(message) if message.from != me.user => {
//!             client.send(message.room, format!("you said: {}", message.body))?;
//!         }
//!         Event::Gap { room, from, to } => eprintln!("room {room}: {from} to {to} are in the history"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What a bot need not do:
//! - **Reconnect.** After a loss the next gateway of [`Options::urls`] is tried at once, then with full jitter. A close
//!   code that says "do not come back" ends it with [`Event::Stopped`].
//! - **Resume.** Each `hello` carries the last number seen in each room, so that what was missed comes first. A client
//!   without any number begins at the head of each room, which the first [`Event::Connected`] tells and the client keeps:
//!   to see what is older, name the room in [`Options::cursors`]. A room that the user was added to meanwhile is shown
//!   since the joining.
//! - **Resend.** A command stays in the outbox until the own `message` or `event`, `stored` or a final `rejected` came;
//!   each resend has the same id, and the servers store it once.
//! - **Hold back.** Commands leave as fast as `welcome` allows and no faster; more of them wait in the outbox, in order.
//!
//! What a bot must do: read its events (a queue that stays full leaves the socket unread, until the server closes it),
//! and page a [`Event::Gap`] with [`Rest::history`].
//!
//! What the client deliberately does not do: hide the servers' faults. A message that came twice is told twice. And it does
//! not speak TLS: it is for machines beside the gateways, or for a proxy that does.

mod answers;
mod backoff;
mod event;
mod handle;
mod options;
pub mod outbox;
mod outgoing;
mod output;
mod pace;
mod rest;
mod socket;
mod task;

pub use answers::{DevToken, Entry, History, Member, RoomSummary, RoomView};
pub use event::{Arrival, Connected, Ending, Event, Message, RoomEvent};
pub use handle::{Client, SendError};
pub use options::Options;
pub use output::Events;
pub use rest::{Page, Rest, RestError};
