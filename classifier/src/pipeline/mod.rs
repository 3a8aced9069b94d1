//! From a lane to the homes: collect → decide → append → route → acknowledge.
//!
//! | module | what |
//! | --- | --- |
//! | [`record`] | reads a record: a command, or poison |
//! | [`decide`] | a batch of records on copies of the states: pure |
//! | [`rooms`] | the states that a lane keeps behind its fence |
//! | [`worker`] | collects what waits, appends, and handles every way in which that fails |
//! | [`route`] | after the commit: one record per event and home, pushes, answers |
//! | [`queue`] | queues records: waits for room, sends again, buries what Kafka refuses |
//! | [`settle`] | waits for the acknowledgements, in order; moves `routed` |
//! | [`burial`] | what could not be processed, for `chat-dlq` |
//! | [`progress`] | what worker, router and owner tell each other about a lane |

pub mod backoff;
pub mod burial;
pub mod context;
pub mod decide;
pub mod fetch;
pub mod progress;
pub mod queue;
pub mod record;
pub mod rooms;
pub mod route;
pub mod settle;
pub mod worker;
