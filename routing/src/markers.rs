//! One marker per shard of routes, for noticing that a shard has lost its memory.
//!
//! A marker lies beside the routes of its shard and shares their fate. Whoever finds it missing sets
//! it anew, with a value that nobody has seen before; every other process then reads a value that is
//! not the one that it remembers (trap 17), and knows that its routes in there went with the old one.
//! While a marker is new, who looks a user up is told nothing (trap 10).

use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;
use protocol::UserId;
use redis::Pipeline;
use uuid::Uuid;

use crate::connection::{Redis, RoutingError};
use crate::place::Place;
use crate::server::{Link, Server};

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

/// Sets the markers of `shards` that are missing, all of them on `server`, and answers with those that
/// stand, in their order. Another process may be faster: then its value counts.
pub(crate) async fn set_missing(
    redis: &Redis,
    server: &Server,
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
    server.turn().await.ask("set the markers", &setting).await
}

/// What a look at the markers showed.
#[derive(Debug, Default)]
pub struct Looked {
    /// The shards that have lost what this process had written there: their marker is not the one that
    /// was there at the look before. At the first look those are all.
    pub lost: Vec<Shard>,
    /// Another server answers for some of the others by now, or the connection was lost in between: it
    /// may be an older copy, with the same marker and without the latest routes.
    pub doubtful: bool,
    /// Why not all markers could be read. What is known of the others stays as it was, so that no loss
    /// is missed by it.
    pub failure: Option<RoutingError>,
}

/// The markers of all shards, as this process knows them.
pub struct Markers {
    redis: Redis,
    /// By shard; none before it was read for the first time.
    known: Vec<Option<Known>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Known {
    marker: String,
    link: Link,
}

impl Markers {
    /// None is known yet.
    pub fn new(redis: &Redis) -> Self {
        Self {
            redis: redis.clone(),
            known: Shard::all().map(|_| None).collect(),
        }
    }

    /// Reads all markers, and sets those that are missing. To be asked several times within
    /// [`GOOD_AFTER`].
    pub async fn look(&mut self) -> Looked {
        self.redis.found().await;
        let all: Vec<Shard> = Shard::all().collect();
        let (parts, nowhere) = self.redis.by_server(&all, Place::Routes);
        let mut looked = Looked {
            failure: (!nowhere.is_empty()).then_some(RoutingError::Away),
            ..Looked::default()
        };
        let redis = &self.redis;
        let read = join_all(parts.iter().map(async |(server, shards)| {
            // Before the request: what is lost meanwhile shows at the next look.
            let link = server.link();
            (link, shards, read(redis, server, shards).await)
        }));
        for (link, shards, markers) in read.await {
            match markers {
                Ok(markers) => {
                    for (shard, marker) in shards.iter().zip(markers) {
                        self.learn(*shard, Known { marker, link }, &mut looked);
                    }
                }
                Err(error) => looked.failure = Some(error),
            }
        }
        looked
    }

    fn learn(&mut self, shard: Shard, found: Known, looked: &mut Looked) {
        let Some(known) = self.known.get_mut(usize::from(shard.number())) else {
            return;
        };
        match known {
            Some(known) if known.marker == found.marker => {
                looked.doubtful |= known.link != found.link;
            }
            _ => looked.lost.push(shard),
        }
        *known = Some(found);
    }
}

/// The markers that stand on `server`; those that were missing are set.
async fn read(
    redis: &Redis,
    server: &Server,
    shards: &[Shard],
) -> Result<Vec<String>, RoutingError> {
    let mut reading = Pipeline::with_capacity(shards.len());
    for shard in shards {
        reading.get(shard.marker(redis));
    }
    let turn = server.turn().await;
    let found: Vec<Option<String>> = turn.ask("read the markers", &reading).await?;
    let missing: Vec<Shard> = shards
        .iter()
        .zip(&found)
        .filter_map(|(shard, marker)| marker.is_none().then_some(*shard))
        .collect();
    let mut set = set_missing(redis, server, &missing).await?.into_iter();
    let stand = found
        .into_iter()
        .map(|marker| marker.or_else(|| set.next()));
    Ok(stand.map(Option::unwrap_or_default).collect())
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
