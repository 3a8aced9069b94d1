//! Redis as plain data: what the Lua scripts of `routing` do, each at one moment.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::{Address, Home, UserId};
use routing::decide::{Slot, Table, View};
use routing::{GOOD_AFTER, Route, Shard};

use crate::switches::Without;

/// How long a home's lease runs, in ms.
pub const LEASE: u64 = 2_000;

#[derive(Debug, Clone, Copy)]
struct Lease {
    owner: usize,
    incarnation: i64,
    until: u64,
}

/// What lies beside the routes of a shard.
#[derive(Debug, Clone, Copy)]
struct Marker {
    value: u64,
    new_until: u64,
}

/// The routes and the table of homes.
#[derive(Debug, Clone, Default)]
pub struct Redis {
    routes: BTreeMap<UserId, BTreeMap<usize, Route>>,
    markers: BTreeMap<Shard, Marker>,
    homes: BTreeMap<Home, Lease>,
    /// When somebody who takes part in the homes was heard last, and until when the grace runs, in ms.
    heard: Option<u64>,
    grace_until: u64,
    /// When its memory was lost last, in ms.
    pub emptied: Option<u64>,
    /// When an older copy took over last, in ms.
    pub failed_over: Option<u64>,
    /// What only mutations switch on: a shard with a new marker is believed, and no grace runs.
    believes_new: bool,
    graceless: bool,
}

/// The name of the n-th gateway.
pub fn gateway_name(n: usize) -> String {
    format!("was-{n}")
}

impl Redis {
    /// Empty.
    pub fn new(without: Option<Without>) -> Self {
        Self {
            believes_new: without == Some(Without::GoodFrom),
            graceless: without == Some(Without::Grace),
            ..Self::default()
        }
    }

    /// `home_heartbeat.lua`: renews one claim, answers with the table of `homes` homes.
    pub fn heartbeat(&mut self, me: usize, incarnation: i64, homes: i32, now: u64) -> View {
        let silent = self.heard.is_none_or(|heard| now - heard > LEASE / 2);
        if silent && !self.graceless {
            self.grace_until = now + LEASE;
        }
        self.heard = Some(now);
        for lease in self.homes.values_mut() {
            if (lease.owner, lease.incarnation) == (me, incarnation) && lease.until > now {
                lease.until = now + LEASE;
            }
        }
        self.view(homes, now)
    }

    /// The table of `homes` homes.
    pub fn view(&self, homes: i32, now: u64) -> View {
        let slots = (1..=homes).map(Home).map(|home| {
            let lease = self.homes.get(&home);
            Slot {
                partition: home,
                owner: lease.map(|lease| gateway_name(lease.owner)),
                claim: lease.map_or(0, |lease| lease.incarnation),
                ttl_left: Duration::from_millis(
                    lease.map_or(0, |lease| lease.until.saturating_sub(now)),
                ),
            }
        });
        let table = Table {
            read_at: Duration::from_millis(now),
            members: Vec::new(),
            slots: slots.collect(),
        };
        let grace_left = Duration::from_millis(self.grace_until.saturating_sub(now));
        View { table, grace_left }
    }

    /// `home_claim.lua`: the new incarnation, if nobody else holds the home or may be about to return.
    pub fn claim(
        &mut self,
        home: Home,
        me: usize,
        known: i64,
        newcomer: bool,
        now: u64,
    ) -> Option<i64> {
        let new_table = self.heard.is_none() && !self.graceless;
        if newcomer && (self.grace_until > now || new_table) {
            return None;
        }
        let last = self.homes.get(&home).map_or(0, |lease| lease.incarnation);
        if let Some(lease) = self.homes.get(&home) {
            let foreign = lease.owner != me || known > 0 && lease.incarnation > known;
            if foreign && lease.until > now {
                return None;
            }
        }
        let clock = i64::try_from(now).unwrap_or(i64::MAX - 1);
        let incarnation = last.max(known).max(clock) + 1;
        let lease = Lease {
            owner: me,
            incarnation,
            until: now + LEASE,
        };
        self.homes.insert(home, lease);
        Some(incarnation)
    }

    /// `home_release.lua`.
    pub fn release(&mut self, home: Home, me: usize, incarnation: i64, now: u64) {
        if let Some(lease) = self.homes.get_mut(&home)
            && (lease.owner, lease.incarnation) == (me, incarnation)
        {
            lease.until = now;
        }
    }

    /// `route_write.lua`: the route of a new session; answers with the one that it replaced.
    pub fn write(&mut self, user: UserId, device: usize, route: Route) -> Option<Route> {
        let older = self.routes.entry(user).or_default().insert(device, route);
        older.filter(|older| older.session != route.session)
    }

    /// `route_restore.lua`: whether it had to be written, or which other session stands there.
    pub fn restore(&mut self, user: UserId, device: usize, route: Route) -> Result<bool, Route> {
        let routes = self.routes.entry(user).or_default();
        match routes.get(&device) {
            Some(there) if *there == route => Ok(false),
            Some(there) if there.session != route.session => Err(*there),
            _ => {
                routes.insert(device, route);
                Ok(true)
            }
        }
    }

    /// `route_remove.lua`: the session's own route, if it still stands.
    pub fn remove(&mut self, user: UserId, device: usize, session: Address) {
        if let Some(routes) = self.routes.get_mut(&user)
            && routes
                .get(&device)
                .is_some_and(|route| route.session == session)
        {
            routes.remove(&device);
        }
    }

    /// `route_prune.lua`: these very routes, whichever of them still stand.
    pub fn prune(&mut self, user: UserId, dead: &[Route]) {
        if let Some(routes) = self.routes.get_mut(&user) {
            routes.retain(|_, route| !dead.contains(route));
        }
    }

    /// All routes of a user, whatever they say.
    pub fn forget(&mut self, user: UserId) {
        self.routes.remove(&user);
    }

    /// The routes of a user.
    pub fn routes(&self, user: UserId) -> Vec<Route> {
        let routes = self.routes.get(&user);
        routes
            .map(|routes| routes.values().copied().collect())
            .unwrap_or_default()
    }

    /// The routes of a user for who looks them up; `None`: their shard can't be believed.
    /// `fresh` is a number that was never given out before.
    pub fn look_up(&mut self, user: UserId, fresh: u64, now: u64) -> Option<Vec<Route>> {
        let shard = Shard::of(user);
        let known = self.markers.get(&shard);
        let good = known.is_some_and(|marker| marker.new_until <= now || self.believes_new);
        self.marker(shard, fresh, now);
        good.then(|| self.routes(user))
    }

    /// `marker_set.lua`: the marker of a shard, set if it is missing.
    pub fn marker(&mut self, shard: Shard, fresh: u64, now: u64) -> u64 {
        let new_until = now + u64::try_from(GOOD_AFTER.as_millis()).unwrap_or(u64::MAX);
        let marker = self.markers.entry(shard).or_insert(Marker {
            value: fresh,
            new_until,
        });
        marker.value
    }

    /// A shard's memory is lost.
    pub fn empty_shard(&mut self, shard: Shard) {
        self.routes.retain(|user, _| Shard::of(*user) != shard);
        self.markers.remove(&shard);
    }

    /// Its whole memory is lost.
    pub fn empty(&mut self, now: u64) {
        self.routes.clear();
        self.markers.clear();
        self.homes.clear();
        (self.heard, self.grace_until) = (None, 0);
        self.emptied = Some(now);
    }
}
