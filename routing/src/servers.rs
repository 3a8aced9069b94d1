//! Which server has which keys. One has all of them, or the primary that sentinels name, or each node
//! of a cluster a part; who it is may change at any time.

mod cluster;
mod sentinels;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::RedisError;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::connection::RoutingError;
use crate::place::Place;
use crate::server::Server;
use crate::settings::{Address, Guide, Way, Whereabouts};
use cluster::Nodes;
use sentinels::Sentinels;

/// How often it is asked who is where when nobody doubts it: a primary that was cut off from its
/// sentinels answers on without knowing that another has taken its place.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Doubts come by the thousand when a server has gone: so soon they are looked into again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How long the first request may wait for the first answer.
const FIRST_WITHIN: Duration = Duration::from_secs(2);

/// The servers by [`Place::index`]; none where nobody serves the slot. Empty before the first look.
pub(crate) type Map = Arc<[Option<Arc<Server>>]>;

/// Why it can't be said which servers there are.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfound {
    #[error("the sentinels know no primary of the name {0} (redis.sentinel_master)")]
    Unknown(String),
    #[error("{0} is not the primary yet")]
    NotYet(String),
    #[error("{who} could not be asked")]
    Unasked { who: String, source: RedisError },
    #[error("what {0} says of its cluster can't be understood")]
    Unreadable(String),
}

impl Unfound {
    fn unasked(who: &Address, source: RedisError) -> Self {
        Self::Unasked {
            who: who.to_string(),
            source,
        }
    }
}

/// The servers, as they are known now.
pub(crate) struct Servers {
    map: watch::Sender<Map>,
    next: AtomicUsize,
}

enum Finder {
    One(One),
    Nodes(Nodes),
    Sentinels(Sentinels),
}

impl Servers {
    /// Begins to look for them. Must be called inside a tokio runtime.
    pub(crate) fn start(known: Whereabouts) -> Result<Arc<Self>, RedisError> {
        let doubts = Arc::new(Notify::new());
        let servers = Arc::new(Self {
            map: watch::Sender::new(Arc::new([])),
            next: AtomicUsize::new(0),
        });
        let Whereabouts { begin, way, guide } = known;
        let finder = match guide {
            Guide::Nobody => {
                let one = One {
                    way,
                    doubts: Arc::clone(&doubts),
                };
                for address in begin {
                    servers.map.send_replace(one.at(address)?);
                }
                Finder::One(one)
            }
            Guide::Cluster => Finder::Nodes(Nodes::new(begin, way, &doubts)?),
            Guide::Sentinels {
                master,
                way: to_them,
            } => Finder::Sentinels(Sentinels::new(&begin, &to_them, master, way, &doubts)?),
        };
        tokio::spawn(find(Arc::downgrade(&servers), doubts, finder));
        Ok(servers)
    }

    /// Who has the keys of `place` as far as is known.
    pub(crate) fn at(&self, place: Place) -> Result<Arc<Server>, RoutingError> {
        let map = self.map.borrow();
        let server = map.get(place.index()).and_then(Option::as_ref);
        server.map(Arc::clone).ok_or(RoutingError::Away)
    }

    /// The same; at the beginning it waits for the first look.
    pub(crate) async fn found(&self, place: Place) -> Result<Arc<Server>, RoutingError> {
        if self.map.borrow().is_empty() {
            let mut map = self.map.subscribe();
            // In vain: then nobody is known, which is told below.
            let _ = timeout(FIRST_WITHIN, map.wait_for(|map| !map.is_empty())).await;
        }
        self.at(place)
    }

    /// One after the other, so that whoever fails to reach one reaches the next.
    pub(crate) fn any(&self) -> Option<Arc<Server>> {
        let servers = distinct(&self.map.borrow());
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        servers.get(next % servers.len().max(1)).cloned()
    }

    fn settle(&self, new: Map) {
        self.map.send_if_modified(|map| {
            let same = map.len() == new.len()
                && map.iter().zip(new.iter()).all(|pair| match pair {
                    (Some(old), Some(new)) => Arc::ptr_eq(old, new),
                    (old, new) => old.is_none() && new.is_none(),
                });
            if !same {
                info!(servers = %Named(&new), "Redis servers");
                *map = new;
            }
            !same
        });
    }
}

/// Everything on one.
fn all_on(server: &Arc<Server>) -> Map {
    Place::all().map(|_| Some(Arc::clone(server))).collect()
}

/// An address that may lead to another server from one connection to the next.
struct One {
    way: Way,
    doubts: Arc<Notify>,
}

impl One {
    fn at(&self, address: Address) -> Result<Map, RedisError> {
        let server = Server::new(address, &self.way, &self.doubts)?;
        Ok(all_on(&Arc::new(server)))
    }

    /// A primary that has become a replica closes no connection by itself.
    fn find(&self, now: &Map) -> Result<Map, Unfound> {
        match now.first() {
            Some(Some(server)) if server.is_demoted() => {
                let address = server.address();
                let again = self.at(address.clone());
                again.map_err(|source| Unfound::unasked(address, source))
            }
            _ => Ok(Arc::clone(now)),
        }
    }
}

/// Each once.
fn distinct(map: &Map) -> Vec<Arc<Server>> {
    let mut found: Vec<Arc<Server>> = Vec::new();
    for server in map.iter().flatten() {
        if !found.iter().any(|known| Arc::ptr_eq(known, server)) {
            found.push(Arc::clone(server));
        }
    }
    found
}

/// Looks again and again, until nobody needs the servers any more.
async fn find(servers: Weak<Servers>, doubts: Arc<Notify>, mut finder: Finder) {
    let mut told = false;
    while let Some(now) = servers
        .upgrade()
        .map(|servers| servers.map.borrow().clone())
    {
        let found = match &mut finder {
            Finder::One(one) => one.find(&now),
            Finder::Nodes(nodes) => nodes.find(&now).await,
            Finder::Sentinels(sentinels) => sentinels.find(&now).await,
        };
        let Some(servers) = servers.upgrade() else {
            return;
        };
        match found {
            Ok(map) => {
                told = false;
                servers.settle(map);
            }
            // Once, and not at each of the next looks.
            Err(error) if !told => {
                told = true;
                let source = std::error::Error::source(&error).map(ToString::to_string);
                warn!(%error, source, "nobody tells which Redis servers there are");
            }
            Err(_) => {}
        }
        drop(servers);
        sleep(LOOK_AGAIN).await;
        // Whichever comes first: both are a reason to look.
        let _ = timeout(LOOK_EVERY, doubts.notified()).await;
    }
}

/// Their addresses, in a line.
struct Named<'a>(&'a Map);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, server) in distinct(self.0).iter().enumerate() {
            let before = if at == 0 { "" } else { ", " };
            write!(f, "{before}{}", server.address())?;
        }
        let unserved = self.0.iter().filter(|server| server.is_none()).count();
        if unserved > 0 {
            write!(f, "; nobody for {unserved} of {} places", self.0.len())?;
        }
        Ok(())
    }
}
