//! The classifier: on servers played by hand, where each failure can be had at will, and on real
//! ones.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "functions that tests share fail a test as the tests themselves do"
)]

mod played;
mod push;
mod servers;
