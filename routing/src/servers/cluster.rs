//! Which node of a cluster serves which slots, by its nodes.

use std::ops::RangeInclusive;
use std::sync::Arc;

use futures_util::future::join_all;
use redis::{Pipeline, RedisResult, Value};
use tokio::sync::Notify;

use super::{Map, Unfound, distinct};
use crate::place::Place;
use crate::server::Server;
use crate::settings::{Address, Way};

/// So many are asked at a look, each time the next ones.
const ASKED: usize = 3;

/// Those who know.
pub(super) struct Nodes {
    /// The ones that the settings name: never forgotten.
    seeds: Vec<Arc<Server>>,
    way: Way,
    doubts: Arc<Notify>,
    next: usize,
}

/// What a node says.
struct Told {
    owners: Vec<(RangeInclusive<u16>, Address)>,
    /// The number of the latest election that it has heard of.
    epoch: u64,
}

impl Nodes {
    pub(super) fn new(begin: Vec<Address>, way: Way, doubts: &Arc<Notify>) -> RedisResult<Self> {
        let seeds = begin
            .into_iter()
            .map(|address| Server::new(address, &way, doubts).map(Arc::new))
            .collect::<RedisResult<_>>()?;
        Ok(Self {
            seeds,
            way,
            doubts: Arc::clone(doubts),
            next: 0,
        })
    }

    /// Asks some of those who serve, and of the seeds; believes the one who knows of the latest
    /// election.
    pub(super) async fn find(&mut self, now: &Map) -> Result<Map, Unfound> {
        let mut known = distinct(now);
        for seed in &self.seeds {
            if !known.iter().any(|one| one.address() == seed.address()) {
                known.push(Arc::clone(seed));
            }
        }
        self.next = self.next.wrapping_add(ASKED);
        let from = self.next % known.len().max(1);
        known.rotate_left(from);
        let (mut latest, mut failed): (Option<Told>, Option<Unfound>) = (None, None);
        for answer in join_all(known.iter().take(ASKED).map(|one| ask(one))).await {
            match answer {
                Ok(told) if latest.as_ref().is_none_or(|known| known.epoch < told.epoch) => {
                    latest = Some(told);
                }
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        }
        match (latest, failed) {
            (Some(told), _) => self.map(&told, known),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(Arc::clone(now)),
        }
    }

    /// Servers that are known already stay what they are, with their connections.
    fn map(&self, told: &Told, mut known: Vec<Arc<Server>>) -> Result<Map, Unfound> {
        let mut map = Vec::with_capacity(257);
        for place in Place::all() {
            let slot = place.slot();
            let owner = told.owners.iter().find(|(slots, _)| slots.contains(&slot));
            let Some((_, address)) = owner else {
                map.push(None);
                continue;
            };
            let server = match known.iter().find(|one| one.address() == address) {
                Some(server) => Arc::clone(server),
                None => {
                    let server = Server::new(address.clone(), &self.way, &self.doubts);
                    let server = server.map_err(|source| Unfound::unasked(address, source))?;
                    let server = Arc::new(server);
                    known.push(Arc::clone(&server));
                    server
                }
            };
            map.push(Some(server));
        }
        Ok(map.into())
    }
}

async fn ask(node: &Server) -> Result<Told, Unfound> {
    let mut asking = Pipeline::new();
    asking.cmd("CLUSTER").arg("INFO");
    asking.cmd("CLUSTER").arg("SLOTS");
    let answer: RedisResult<(String, Vec<Vec<Value>>)> = node.question(&asking).await;
    let (info, slots) = answer.map_err(|source| Unfound::unasked(node.address(), source))?;
    let unreadable = || Unfound::Unreadable(node.address().to_string());
    let owners = slots.iter().map(|range| owner(range, &node.address().host));
    let owners: Option<Vec<_>> = owners.collect();
    Ok(Told {
        owners: owners.ok_or_else(unreadable)?,
        epoch: epoch(&info).ok_or_else(unreadable)?,
    })
}

/// `cluster_current_epoch:6` among other lines.
fn epoch(info: &str) -> Option<u64> {
    let mut lines = info.lines();
    lines.find_map(|line| {
        line.strip_prefix("cluster_current_epoch:")?
            .trim()
            .parse()
            .ok()
    })
}

/// First and last slot, the primary as address, port and more, then its replicas
/// (<https://redis.io/docs/latest/commands/cluster-slots/>). A node that does not know by which address
/// it is reached leaves it out: it is the one by which this answer came.
fn owner(range: &[Value], asked: &str) -> Option<(RangeInclusive<u16>, Address)> {
    let [first, last, primary, ..] = range else {
        return None;
    };
    let primary: Vec<Value> = redis::from_redis_value_ref(primary).ok()?;
    let [host, port, ..] = primary.as_slice() else {
        return None;
    };
    let host: Option<String> = redis::from_redis_value_ref(host).ok()?;
    let host = host.filter(|host| !host.is_empty() && host != "?");
    let number = |value: &Value| redis::from_redis_value_ref::<u16>(value).ok();
    let address = Address {
        host: host.unwrap_or_else(|| asked.to_owned()),
        port: number(port)?,
    };
    Some((number(first)?..=number(last)?, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(host: Value) -> Vec<Value> {
        let primary = Value::Array(vec![host, Value::Int(7001), Value::Nil]);
        vec![Value::Int(0), Value::Int(5460), primary, Value::Nil]
    }

    #[test]
    fn an_owner_without_an_address_is_whom_one_has_asked() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        for (host, expected) in [
            (text("10.0.0.1"), "10.0.0.1:7001"),
            (text(""), "seed:7001"),
            (text("?"), "seed:7001"),
            (Value::Nil, "seed:7001"),
        ] {
            let (slots, address) = owner(&range(host), "seed").unwrap();
            assert_eq!((slots, address.to_string().as_str()), (0..=5460, expected));
        }
        assert!(owner(&[Value::Int(0)], "seed").is_none());
    }

    #[test]
    fn the_latest_election_is_among_other_facts() {
        let info = "cluster_state:ok\r\ncluster_current_epoch:6\r\ncluster_my_epoch:2\r\n";
        assert_eq!(epoch(info), Some(6));
        assert_eq!(epoch("cluster_state:ok"), None);
    }
}
