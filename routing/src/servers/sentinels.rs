//! Who the primary is, by its sentinels.

use std::sync::Arc;

use futures_util::future::join_all;
use redis::{Pipeline, RedisResult, Value};
use tokio::sync::Notify;

use super::{Map, Unfound, all_on};
use crate::server::Server;
use crate::settings::{Address, Way};

/// Those who know.
pub(super) struct Sentinels {
    sentinels: Vec<Server>,
    master: String,
    way: Way,
    /// Of a server that is to be asked whether it is the primary, as well.
    doubts: Arc<Notify>,
}

/// What a sentinel says.
struct Told {
    primary: Address,
    /// The number of the election that made it so.
    epoch: u64,
}

/// The address of the primary, if it is known, and more about it.
type Answer = (RedisResult<Option<(String, u16)>>, RedisResult<Value>);

impl Sentinels {
    pub(super) fn new(
        begin: &[Address],
        to_them: &Way,
        master: String,
        way: Way,
        doubts: &Arc<Notify>,
    ) -> RedisResult<Self> {
        let sentinels = begin
            .iter()
            // Who fails here is no reason to look again at once.
            .map(|address| Server::new(address.clone(), to_them, &Arc::new(Notify::new())))
            .collect::<RedisResult<_>>()?;
        Ok(Self {
            sentinels,
            master,
            way,
            doubts: Arc::clone(doubts),
        })
    }

    /// Asks all of them at once, and believes the one who knows of the latest election: for a moment
    /// after a failover, or for as long as it is cut off, a sentinel names the one before.
    pub(super) async fn find(&mut self, now: &Map) -> Result<Map, Unfound> {
        let (mut latest, mut failed): (Option<Told>, Option<Unfound>) = (None, None);
        for answer in join_all(self.sentinels.iter().map(|one| self.ask(one))).await {
            match answer {
                Ok(told) if latest.as_ref().is_none_or(|known| known.epoch < told.epoch) => {
                    latest = Some(told);
                }
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        }
        let unknown = || Unfound::Unknown(self.master.clone());
        let Told { primary, .. } = latest.ok_or_else(|| failed.unwrap_or_else(unknown))?;
        if let Some(Some(server)) = now.first()
            && *server.address() == primary
            && !server.is_demoted()
        {
            return Ok(Arc::clone(now));
        }
        let server = Server::new(primary.clone(), &self.way, &self.doubts);
        let server = server.map_err(|source| Unfound::unasked(&primary, source))?;
        if !is_primary(&server).await? {
            return Err(Unfound::NotYet(primary.to_string()));
        }
        Ok(all_on(&Arc::new(server)))
    }

    async fn ask(&self, sentinel: &Server) -> Result<Told, Unfound> {
        let mut asking = Pipeline::new();
        let about = asking.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME");
        about.arg(&self.master);
        asking.cmd("SENTINEL").arg("MASTER").arg(&self.master);
        asking.ignore_errors();
        let answer: RedisResult<Answer> = sentinel.question(&asking).await;
        let unasked = |source| Unfound::unasked(sentinel.address(), source);
        let (primary, facts) = answer.map_err(unasked)?;
        let Some((host, port)) = primary.map_err(unasked)? else {
            return Err(Unfound::Unknown(self.master.clone()));
        };
        Ok(Told {
            primary: Address { host, port },
            epoch: facts.ok().as_ref().and_then(epoch).unwrap_or(0),
        })
    }
}

/// A list of names and values by turns.
fn epoch(facts: &Value) -> Option<u64> {
    let facts: Vec<String> = redis::from_redis_value_ref(facts).ok()?;
    let mut pairs = facts.chunks_exact(2);
    let epoch = pairs.find(|pair| pair.first().is_some_and(|name| name == "config-epoch"))?;
    epoch.get(1)?.parse().ok()
}

/// Whether it says so itself: a sentinel may name one that is about to be.
async fn is_primary(server: &Server) -> Result<bool, Unfound> {
    let mut asking = Pipeline::new();
    asking.cmd("ROLE");
    match server.question::<(Vec<Value>,)>(&asking).await {
        Ok((role,)) => {
            let role = role
                .into_iter()
                .next()
                .map(redis::from_redis_value::<String>);
            Ok(matches!(role, Some(Ok(role)) if role == "master"))
        }
        // Whoever may not ask has to believe the sentinels.
        Err(error) if error.code() == Some("NOPERM") => Ok(true),
        Err(error) => Err(Unfound::unasked(server.address(), error)),
    }
}
