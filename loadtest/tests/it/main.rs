//! Tests of the whole: the layers of the workspace, and the system as its users see it.

mod cluster;
mod layers;
mod load_run;
mod system;
mod terminal;
