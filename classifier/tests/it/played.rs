//! The pipeline over servers played by hand: redelivery, fences, lost answers, bad data.

mod kafka;
mod lanes;
mod ledger;
mod owner;
mod pieces;
mod poison;
mod signals;
mod stage;
mod traps;
mod unknown;
