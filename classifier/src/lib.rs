//! The classifier: reads its lanes, decides each command, gives it its seq, stores it, and sends it
//! to the homes of the recipients.

pub mod room;
