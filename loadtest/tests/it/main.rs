//! Tests of the whole: the layers of the workspace, and the system as its users see it.

mod layers;
mod system;
