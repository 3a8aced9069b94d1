//! The network of one process: all that it says to the servers goes through proxies of its own.

use crate::{error::Result, proxy::Proxy, space::Space};

/// Proxies before all servers of a stack, for one process that is started with [`Cable::env`]. Brokers name the proxies as
/// their addresses to who comes through them, so that no client finds a way around.
#[derive(Debug)]
pub struct Cable {
    kafka: Vec<Proxy>,
    postgres: Proxy,
    redis: Proxy,
}

impl Cable {
    /// Before servers that listen, or will listen, on these ports.
    pub(crate) fn before(kafka: &[u16], postgres: u16, redis: u16) -> Result<Self> {
        let kafka: Result<Vec<Proxy>> = kafka.iter().map(|port| Proxy::before(*port)).collect();
        Ok(Self {
            kafka: kafka?,
            postgres: Proxy::before(postgres)?,
            redis: Proxy::before(redis)?,
        })
    }

    /// Cuts all of it; see [`Proxy::cut`].
    pub fn cut(&self) {
        self.all().for_each(Proxy::cut);
    }

    /// Heals all of it; see [`Proxy::heal`].
    pub fn heal(&self) {
        self.all().for_each(Proxy::heal);
    }

    /// The one before the broker with that number, from 0.
    ///
    /// # Panics
    /// When there are fewer brokers.
    #[must_use]
    pub fn kafka(&self, broker: usize) -> &Proxy {
        &self.kafka[broker]
    }

    /// The one before Postgres.
    #[must_use]
    pub const fn postgres(&self) -> &Proxy {
        &self.postgres
    }

    /// The one before Redis.
    #[must_use]
    pub const fn redis(&self) -> &Proxy {
        &self.redis
    }

    /// The brokers, as who goes through here is told of them: `host:port`, separated by commas.
    #[must_use]
    pub fn kafka_brokers(&self) -> String {
        let brokers = self.kafka.iter();
        let brokers = brokers.map(|proxy| format!("127.0.0.1:{}", proxy.port()));
        brokers.collect::<Vec<_>>().join(",")
    }

    /// The settings by which a process of the space goes through here, as environment variables.
    #[must_use]
    pub fn env(&self, space: &Space) -> Vec<(String, String)> {
        let (postgres, redis) = (self.postgres.port(), self.redis.port());
        [
            ("SWITCHBOARD_KAFKA_BROKERS", self.kafka_brokers()),
            (
                "SWITCHBOARD_POSTGRES_URL",
                format!("postgres://postgres@127.0.0.1:{postgres}/{}", space.name()),
            ),
            (
                "SWITCHBOARD_REDIS_URL",
                format!("redis://127.0.0.1:{redis}"),
            ),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    fn all(&self) -> impl Iterator<Item = &Proxy> {
        self.kafka.iter().chain([&self.postgres, &self.redis])
    }
}
