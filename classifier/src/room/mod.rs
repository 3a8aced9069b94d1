//! The room: a pure state machine. A command meets a state and becomes an event, a duplicate or a
//! rejection; an event moves the state on.
//!
//! Nothing here knows a clock, a store or a lane. States are values: a batch works on copies of
//! them, and the copies replace the old ones when the batch is committed.

mod decide;
mod members;
mod recent;
mod state;
#[cfg(test)]
mod tests;

pub use decide::{Decision, Rules, decide};
pub use members::{Member, Members};
pub use recent::{RECENT_IDS, RECENT_TARGETS, Target};
pub use state::{Changes, Edit, Existence, Room, StayClosed};
