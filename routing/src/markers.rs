//! One marker per shard of routes, for noticing that a shard has lost its memory.
//!
//! A marker lies beside the routes of its shard and shares their fate. Whoever finds it missing sets
//! it anew, with a value that nobody has seen before; every other process then reads a value that is
//! not the one that it remembers (trap 17), and knows that its routes in there went with the old one.
//! While a marker is new, who looks a user up is told nothing (trap 10).

use std::fmt;
use std::time::Duration;

use protocol::UserId;
use redis::Pipeline;
use uuid::Uuid;

use crate::connection::{Redis, RoutingError};

/// Sets a marker that is missing; answers with the one that stands.
const SET: &str = include_str!("lua/marker_set.lua");

/// For how long a shard with a new marker is not believed: by then whoever has lost routes in it has
/// noticed, and has written them again or will catch its sessions up. A constant and no setting, as
/// gateways look at the markers several times within it and routers set them, too.
pub const GOOD_AFTER: Duration = Duration::from_secs(2);

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

    /// Where its marker is.
    pub(crate) fn marker(self, redis: &Redis) -> String {
        redis.key(format_args!("route:{self}"))
    }

    /// What stands for as long as its marker is new.
    pub(crate) fn novelty(self, redis: &Redis) -> String {
        redis.key(format_args!("route:{self}:new"))
    }
}

impl fmt::Display for Shard {
    /// The hash tag of its keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{r{}}}", self.0)
    }
}

/// Sets the markers of `shards` that are missing, and answers with those that stand, in their order.
/// Another process may be faster: then its value counts.
pub(crate) async fn set_missing(
    redis: &Redis,
    shards: &[Shard],
) -> Result<Vec<String>, RoutingError> {
    if shards.is_empty() {
        return Ok(Vec::new());
    }
    let new_for = u64::try_from(GOOD_AFTER.as_millis()).unwrap_or(u64::MAX);
    let mut setting = Pipeline::with_capacity(shards.len());
    for shard in shards {
        let set = setting.cmd("EVAL").arg(SET).arg(2);
        set.arg(shard.marker(redis)).arg(shard.novelty(redis));
        set.arg(Uuid::new_v4().to_string()).arg(new_for);
    }
    redis.turn().await.ask("set the markers", &setting).await
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
    /// first look those are all. To be asked several times within [`GOOD_AFTER`].
    ///
    /// # Errors
    /// [`RoutingError::Redis`]; what is known stays as it was, so that no loss is missed by it.
    pub async fn look(&mut self) -> Result<Vec<Shard>, RoutingError> {
        let mut reading = Pipeline::with_capacity(self.known.len());
        for shard in Shard::all() {
            reading.get(shard.marker(&self.redis));
        }
        let turn = self.redis.turn().await;
        let mut found: Vec<Option<String>> = turn.ask("read the markers", &reading).await?;
        let missing: Vec<Shard> = Shard::all()
            .zip(&found)
            .filter_map(|(shard, marker)| marker.is_none().then_some(shard))
            .collect();
        let set = set_missing(&self.redis, &missing).await?;
        let unset = found.iter_mut().filter(|marker| marker.is_none());
        for (marker, stands) in unset.zip(set) {
            *marker = Some(stands);
        }
        let mut lost = Vec::new();
        for ((known, marker), shard) in self.known.iter_mut().zip(found).zip(Shard::all()) {
            if *known != marker {
                *known = marker;
                lost.push(shard);
            }
        }
        Ok(lost)
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
