//! The table of homes in Redis: who holds which, under which incarnation.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::Home;

use crate::connection::{Redis, RoutingError};
use crate::decide::{Slot, Table, View};
use crate::operation::Operation;
use crate::place::Place;
use crate::since_boot;

/// The leases of all homes. Every change is one script, which runs alone and by Redis's clock, so no
/// process's clock decides how long a lease lasts.
#[derive(Clone)]
pub struct HomeTable {
    redis: Redis,
    homes: i32,
    /// The whole table is one hash, so that one script sees all of it, in a cluster as well.
    key: String,
    operations: Arc<Operations>,
}

struct Operations {
    renew: Operation,
    claim: Operation,
    release: Operation,
}

impl HomeTable {
    /// The table of `homes` homes, from 1 on: partition 0 of `chat-receive` is nobody's home.
    pub fn new(redis: &Redis, homes: i32) -> Self {
        Self {
            redis: redis.clone(),
            homes,
            key: redis.key("{homes}:table"),
            operations: Arc::new(Operations {
                renew: Operation::at_once("renew a home", include_str!("lua/home_heartbeat.lua")),
                claim: Operation::at_once("claim a home", include_str!("lua/home_claim.lua")),
                release: Operation::at_once("release a home", include_str!("lua/home_release.lua")),
            }),
        }
    }

    /// How many homes there are.
    pub fn homes(&self) -> i32 {
        self.homes
    }

    /// Reads the table for one that neither has a home nor wants one: nothing is renewed, and nobody
    /// was heard.
    ///
    /// # Errors
    /// [`RoutingError::Away`] or [`RoutingError::Redis`] when Redis can't be asked, [`RoutingError::Replaced`] when
    /// another server has taken its place meanwhile.
    pub async fn look(&self) -> Result<View, RoutingError> {
        // Nobody has no name.
        self.hear("", 0, Duration::ZERO, false).await
    }

    /// Renews the claim that `owner` has under `incarnation` (0: it has none), and reads the table: for
    /// one that wants a home or has one. It is heard, and hears whether the grace runs.
    ///
    /// Whether it was renewed is for the table to say: a home that it doesn't show under this owner
    /// and incarnation, with time left, is lost.
    ///
    /// # Errors
    /// [`RoutingError::Away`] or [`RoutingError::Redis`] when Redis can't be asked, [`RoutingError::Replaced`] when
    /// another server has taken its place meanwhile.
    pub async fn take_part(
        &self,
        owner: &str,
        incarnation: i64,
        lease: Duration,
    ) -> Result<View, RoutingError> {
        self.hear(owner, incarnation, lease, true).await
    }

    async fn hear(
        &self,
        owner: &str,
        incarnation: i64,
        lease: Duration,
        takes_part: bool,
    ) -> Result<View, RoutingError> {
        let read_at = since_boot();
        let (grace_left, rows): (u64, Vec<(i32, i64, u64, String)>) = self
            .redis
            .run(
                &self.operations.renew,
                (Place::Homes, &self.key),
                (owner, incarnation, lease_ms(lease), u8::from(takes_part)),
            )
            .await?;
        let mut rows: HashMap<i32, _> = rows.into_iter().map(|row| (row.0, row)).collect();
        let slots = (1..=self.homes).map(|home| match rows.remove(&home) {
            Some((_, claim, left, owner)) => Slot {
                partition: Home(home),
                owner: Some(owner),
                claim,
                ttl_left: Duration::from_millis(left),
            },
            None => Slot {
                partition: Home(home),
                owner: None,
                claim: 0,
                ttl_left: Duration::ZERO,
            },
        });
        Ok(View {
            table: Table {
                read_at,
                members: Vec::new(),
                slots: slots.collect(),
            },
            grace_left: Duration::from_millis(grace_left),
        })
    }

    /// Takes `home` for `owner`, and says under which incarnation; `None` if another holds it.
    ///
    /// `known` is the highest incarnation that this process was ever given, 0 before its first: the
    /// new one is above it whatever Redis has forgotten, and a process that was replaced by another
    /// of its name can't take the home back.
    pub async fn claim(
        &self,
        home: Home,
        owner: &str,
        known: i64,
        lease: Duration,
    ) -> Result<Option<i64>, RoutingError> {
        self.take(home, owner, known, lease, false).await
    }

    /// As [`HomeTable::claim`], for one that never had the home: `None` also while its former holder
    /// may be about to return to it.
    pub(crate) async fn claim_as_newcomer(
        &self,
        home: Home,
        owner: &str,
        known: i64,
        lease: Duration,
    ) -> Result<Option<i64>, RoutingError> {
        self.take(home, owner, known, lease, true).await
    }

    async fn take(
        &self,
        home: Home,
        owner: &str,
        known: i64,
        lease: Duration,
        newcomer: bool,
    ) -> Result<Option<i64>, RoutingError> {
        let incarnation: i64 = self
            .redis
            .run(
                &self.operations.claim,
                (Place::Homes, &self.key),
                (home.0, owner, known, lease_ms(lease), u8::from(newcomer)),
            )
            .await?;
        Ok((incarnation > 0).then_some(incarnation))
    }

    /// Ends the claim that `owner` has on `home` under `incarnation`; says whether it had it still.
    pub async fn release(
        &self,
        home: Home,
        owner: &str,
        incarnation: i64,
    ) -> Result<bool, RoutingError> {
        self.redis
            .run(
                &self.operations.release,
                (Place::Homes, &self.key),
                (home.0, owner, incarnation),
            )
            .await
    }
}

/// Redis counts in ms; Lua's numbers hold them exactly, which they don't for µs since 1970.
fn lease_ms(lease: Duration) -> u64 {
    u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)
}
