//! Real servers for run, tests and load: Kafka (KRaft), PostgreSQL and Redis on free loopback ports, as children that end with
//! the process that started them; and our own processes on top of them. Nothing in production depends on this crate.
//!
//! ```no_run
//! # async fn example() -> Result<(), stack::Error> {
//! let space = stack::Stack::shared().await?.space().await?; // own topics, database and keys
//! let cluster = stack::Cluster::start(&space, stack::ClusterOptions::default()).await?;
//! println!("{}", cluster.was(0).url());
//! # Ok(()) }
//! ```

mod awake;
mod cable;
mod certificates;
mod cluster;
mod collector;
mod error;
mod folders;
mod guarded;
mod harm;
mod inline;
mod install;
mod ports;
mod process;
mod progress;
mod proxy;
mod ready;
mod server;
mod servers;
mod space;
mod spawner;
mod stack;

pub use awake::Awake;
pub use cable::Cable;
pub use certificates::Certificates;
pub use cluster::{Cluster, ClusterOptions, Service};
pub use collector::{Collected, Collector};
pub use error::{Error, Result};
pub use folders::{from_here, root};
pub use ports::{claimable, free_port};
pub use process::{resident_bytes, resident_bytes_alone, signal_all};
pub use proxy::Proxy;
pub use server::Server;
pub use servers::redis::{RedisAlone, RedisKind, RedisServers};
pub use service::process::raise_open_files;
pub use space::Space;
pub use stack::{Addresses, GuardedKafka, Options, Stack, VARIABLE};
