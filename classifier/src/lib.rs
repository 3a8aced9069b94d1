//! The classifier: reads its lanes, decides each command, gives it its seq, stores it, and sends it
//! to the homes of the recipients.
//!
//! | module | what |
//! | --- | --- |
//! | [`room`] | the room as a pure state machine: who may do what |
//! | [`pipeline`] | from a lane to the homes |
//! | [`owner`] | which lanes are this process's |
//! | [`signals`] | typing and read marks |
//! | [`push`] | tells people who are not connected, through a webhook or FCM |
//! | [`operator`], [`subcommands`] | what an operator asks from the command line |
//! | [`ports`], [`adapters`] | Kafka, Postgres and Redis behind narrow traits, and the real ones |
//! | [`partitions`] | whether topics are as the settings say |
//! | [`settings`], [`metrics`], [`setup`], [`serve`] | the program |

pub mod adapters;
mod behind;
pub mod metrics;
pub mod operator;
pub mod owner;
pub mod partitions;
pub mod pipeline;
pub mod ports;
pub mod push;
pub mod room;
pub mod serve;
pub mod settings;
pub mod setup;
pub mod signals;
pub mod subcommands;
