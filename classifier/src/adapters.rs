//! The real outside: Kafka through `service`, Postgres through `store`, Redis through `routing`.

mod kafka;
mod ledger;
mod redis;

pub use kafka::{KafkaFeed, KafkaLanes, KafkaPublish};
pub use redis::{FreshRoutes, RedisRoutes};

use crate::ports::Outside;

/// Kafka, Postgres and Redis.
#[derive(Debug)]
pub struct Servers;

impl Outside for Servers {
    type Ledger = store::Store;
    type Lanes = KafkaLanes;
    type Publish = KafkaPublish;
    type Routes = RedisRoutes;
}
