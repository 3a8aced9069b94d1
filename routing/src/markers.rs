//! One marker per shard of routes, for noticing that a shard has lost its memory.
//!
//! A marker lies beside the routes of its shard and shares their fate. Whoever finds it missing sets
//! it anew, with a value that nobody has seen before; every other process then reads a value that is
//! not the one that it remembers (trap 17), and knows that its routes in there went with the old one.

use std::fmt;
use std::time::Duration;

use protocol::UserId;
use redis::Pipeline;
use uuid::Uuid;

use crate::connection::{Redis, RoutingError};

/// Sets a marker that is missing; answers with the one that stands.
const SET: &str = include_str!("lua/marker_set.lua");

/// Routes are spread over 256 shards (and, in a cluster, over its slots): 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(u8);

impl Shard {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(Self)
    }

    /// Where a user's routes are.
    pub fn of(user: UserId) -> Self {
        // The lowest byte is the user modulo 256.
        Self(user.get().to_le_bytes()[0])
    }

    /// Its number.
    pub fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Shard {
    /// The hash tag of its keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{r{}}}", self.0)
    }
}

/// The markers of all shards, as this process knows them.
pub struct Markers {
    redis: Redis,
    /// By shard; none before the first look.
    known: Vec<Option<String>>,
}

impl Markers {
    /// None is known yet.
    pub fn new(redis: &Redis) -> Self {
        Self {
            redis: redis.clone(),
            known: Shard::all().map(|_| None).collect(),
        }
    }

    /// Reads all markers, sets those that are missing, and names the shards whose marker is not the
    /// one that was there at the look before: what this process had written there is gone. At the
    /// first look those are all.
    ///
    /// A marker that is set here says that its shard can be believed after `lease`: by then whoever
    /// has lost routes in it has written them again.
    ///
    /// # Errors
    /// [`RoutingError::Redis`]; what is known stays as it was, so that no loss is missed by it.
    pub async fn look(&mut self, lease: Duration) -> Result<Vec<Shard>, RoutingError> {
        let mut reading = Pipeline::with_capacity(self.known.len());
        for shard in Shard::all() {
            reading.get(self.key(shard));
        }
        let found: Vec<Option<String>> = self.ask("read the markers", &reading).await?;
        let mut found: Vec<(Shard, Option<String>)> = Shard::all().zip(found).collect();
        self.set(&mut found, lease).await?;
        let mut lost = Vec::new();
        for (known, (shard, marker)) in self.known.iter_mut().zip(found) {
            if *known != marker {
                *known = marker;
                lost.push(shard);
            }
        }
        Ok(lost)
    }

    /// Sets those that are missing. Another process may be faster: then its value counts.
    async fn set(
        &self,
        found: &mut [(Shard, Option<String>)],
        lease: Duration,
    ) -> Result<(), RoutingError> {
        let lease = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        let missing: Vec<_> = found.iter_mut().filter(|(_, m)| m.is_none()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut setting = Pipeline::with_capacity(missing.len());
        for (shard, _) in &missing {
            let set = setting.cmd("EVAL").arg(SET).arg(1).arg(self.key(*shard));
            set.arg(Uuid::new_v4().to_string()).arg(lease);
        }
        let stand: Vec<String> = self.ask("set the markers", &setting).await?;
        for ((_, marker), stands) in missing.into_iter().zip(stand) {
            *marker = Some(stands);
        }
        Ok(())
    }

    async fn ask<T: redis::FromRedisValue>(
        &self,
        operation: &'static str,
        pipeline: &Pipeline,
    ) -> Result<T, RoutingError> {
        self.redis.turn().await.ask(operation, pipeline).await
    }

    fn key(&self, shard: Shard) -> String {
        self.redis.key(format_args!("route:{shard}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_shard_is_its_number_modulo_256() {
        for (user, tag) in [
            (1, "{r1}"),
            (255, "{r255}"),
            (256, "{r0}"),
            (1_000, "{r232}"),
        ] {
            assert_eq!(Shard::of(UserId::new(user).unwrap()).to_string(), tag);
        }
    }
}
