//! Looking users up: their routes where their shard can be believed; else nothing is said about them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use protocol::UserId;
use redis::Pipeline;
use tracing::debug;

use super::{Route, RouteTable, decode, place};
use crate::connection::RoutingError;
use crate::markers::{Shard, set_missing};
use crate::server::Server;
use crate::since_boot;

/// Users asked for in one pipeline: large enough that a round trip is nothing beside it, small enough
/// that others get their turn and the answer comes well before the time limit.
const USERS_PER_PIPELINE: usize = 500;

/// How long one may wait for an answer: who has none by then is looked for everywhere, which costs
/// less than everybody's messages being late.
const ANSWER_WITHIN: Duration = Duration::from_millis(250);

/// What is known of some users: each of them is in `known` or in `unknown`.
#[derive(Debug, Default)]
pub struct Lookup {
    /// The routes of those about whom something is known; none for who is not connected.
    pub known: HashMap<UserId, Arc<[Route]>>,
    /// Those who may be connected anywhere or nowhere: Redis could not be asked, or their shard has
    /// lost its memory a moment ago. Asked again soon, they are known again. Each once.
    pub unknown: Vec<UserId>,
    /// Why Redis could not be asked, if that was it.
    pub failure: Option<RoutingError>,
}

/// Answers of one pipeline.
struct Answers {
    issued: Duration,
    /// By user, in the order of asking; none where the shard can't be believed.
    routes: Vec<Option<Arc<[Route]>>>,
}

impl RouteTable {
    /// Where `users` are, by an answer that is at most [`ROUTE_CACHE`](super::ROUTE_CACHE) old when this is called.
    ///
    /// To be called *after* the commit of what is to be routed: only then does a session that was not
    /// seen find it by itself (I4). While Redis is away only the first caller waits for it, and for
    /// no longer than a moment.
    pub async fn lookup(&self, users: &[UserId]) -> Lookup {
        let mut found = Lookup::default();
        let mut missing = HashSet::new();
        self.cached(|cache| {
            let now = since_boot();
            for user in users {
                match cache.get(*user, now) {
                    Some(routes) => {
                        found.known.insert(*user, routes);
                    }
                    None => {
                        missing.insert(*user);
                    }
                }
            }
        });
        let missing: Vec<UserId> = missing.into_iter().collect();
        self.ask(&missing, &mut found).await;
        found
    }

    /// Where `users` are now: as [`RouteTable::lookup`], and nothing is taken from the cache.
    pub async fn fresh(&self, users: &[UserId]) -> Lookup {
        let mut found = Lookup::default();
        let users: HashSet<UserId> = users.iter().copied().collect();
        let users: Vec<UserId> = users.into_iter().collect();
        self.ask(&users, &mut found).await;
        found
    }

    /// Every server has its part, and none waits for another.
    async fn ask(&self, users: &[UserId], found: &mut Lookup) {
        let (parts, nowhere) = self.redis.by_server(users, place);
        if !nowhere.is_empty() {
            found.unknown.extend(nowhere);
            found.failure = Some(RoutingError::Away);
        }
        let asked = parts.iter().map(async |(server, users)| {
            let mut asked = Vec::new();
            for users in users.chunks(USERS_PER_PIPELINE) {
                let answers = self.answers(server, users).await;
                asked.push((users, answers.inspect_err(|error| notice(server, error))));
            }
            asked
        });
        for (users, answers) in join_all(asked).await.into_iter().flatten() {
            match answers {
                Ok(answers) => self.learn(users, answers, found),
                Err(error) => {
                    found.unknown.extend_from_slice(users);
                    found.failure = Some(error);
                }
            }
        }
    }

    fn learn(&self, users: &[UserId], answers: Answers, found: &mut Lookup) {
        self.cached(|cache| {
            for (user, routes) in users.iter().zip(&answers.routes) {
                if let Some(routes) = routes {
                    cache.put(*user, Arc::clone(routes), answers.issued);
                }
            }
        });
        for (user, routes) in users.iter().zip(answers.routes) {
            match routes {
                Some(routes) => {
                    found.known.insert(*user, routes);
                }
                None => found.unknown.push(*user),
            }
        }
    }

    /// The routes of `users`, all of them on `server`, and whether their shards can be believed.
    async fn answers(&self, server: &Server, users: &[UserId]) -> Result<Answers, RoutingError> {
        let shards: BTreeSet<Shard> = users.iter().copied().map(Shard::of).collect();
        let mut asking = Pipeline::with_capacity(users.len() + shards.len());
        for user in users {
            asking.hvals(self.key(*user));
        }
        // Behind the routes: if the shard was emptied before they were read, its marker is missing or
        // new by now.
        for shard in &shards {
            let marker = asking.cmd("MGET").arg(shard.marker(&self.redis));
            marker.arg(shard.novelty(&self.redis));
        }
        let turn = server.turn().await;
        if server.is_away() {
            return Err(RoutingError::Away);
        }
        let issued = since_boot();
        let answer = turn.ask("look users up", &asking);
        let answer = tokio::time::timeout(ANSWER_WITHIN, answer).await;
        let mut answer: Vec<Vec<Option<Vec<u8>>>> = answer.map_err(|_elapsed| silent())??;
        let markers = answer.split_off(users.len().min(answer.len()));

        let (mut good, mut missing) = (HashSet::new(), Vec::new());
        for (shard, marker) in shards.iter().zip(&markers) {
            match marker.as_slice() {
                [Some(_), None] => {
                    good.insert(*shard);
                }
                [None, _] => missing.push(*shard),
                _ => {}
            }
        }
        if let Err(error) = set_missing(&self.redis, server, &missing).await {
            // Whoever is next finds them missing again.
            debug!(%error, shards = missing.len(), "markers were not set");
        }
        let routes = users.iter().zip(answer).map(|(user, texts)| {
            let believed = good.contains(&Shard::of(*user));
            let texts = texts.iter().flatten();
            believed.then(|| texts.filter_map(|text| decode(*user, text)).collect())
        });
        Ok(Answers {
            issued,
            routes: routes.collect(),
        })
    }
}

/// Who does not answer is not waited for again before it does.
fn notice(server: &Arc<Server>, error: &RoutingError) {
    if error.is_silence() {
        server.away(error);
    }
}

/// No answer in time.
fn silent() -> RoutingError {
    RoutingError::Redis {
        operation: "look users up",
        source: io::Error::from(io::ErrorKind::TimedOut).into(),
    }
}
