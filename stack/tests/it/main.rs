//! The stack's promises: it answers, it is isolated per test, its servers obey, and nothing survives its process.

mod servers;
mod spaces;
mod survivors;
