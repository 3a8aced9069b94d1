//! Hints: who writes a route says so on a channel, and whoever keeps look-ups forgets that user's.
//!
//! A hint that is lost costs nothing but time: what is kept ends by itself, and sessions settle after
//! that (I4). With it, the first message to somebody who has just come back goes to the new home at
//! once, not to the one that was looked up before.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use protocol::UserId;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::debug;

use super::RouteTable;
use crate::since_boot;

/// Between two attempts to hear.
const AGAIN: Duration = Duration::from_millis(100);
/// How often the line is tried: nothing is sent on it otherwise, and one that is cut would be
/// listened to for ever.
const TRY_EVERY: Duration = Duration::from_secs(2);
/// How long the line may take to be there, and to answer when it is tried.
const WITHIN: Duration = Duration::from_secs(1);

/// Why no hints are heard.
#[derive(Debug, thiserror::Error)]
enum Deaf {
    #[error(transparent)]
    Redis(#[from] redis::RedisError),
    #[error("no answer in time")]
    Silent(#[from] tokio::time::error::Elapsed),
    #[error("the line has ended")]
    Ended,
}

impl RouteTable {
    /// Forgets what is kept of users as soon as a route of theirs is said to be written, until `end`
    /// resolves. On a connection of its own, which is made again whenever it is lost.
    pub async fn hear_hints(&self, end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return,
                Err(error) = self.hear() => debug!(%error, "no hints are heard"),
            }
            tokio::select! {
                () = &mut end => return,
                () = sleep(AGAIN) => {}
            }
        }
    }

    async fn hear(&self) -> Result<Infallible, Deaf> {
        let mut line = timeout(WITHIN, self.redis.line()).await??;
        timeout(WITHIN, line.subscribe(self.channel())).await??;
        let (mut trying, mut hints) = line.split();
        let mut tries = interval(TRY_EVERY);
        tries.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                hint = hints.next() => {
                    let hint = hint.ok_or(Deaf::Ended)?;
                    self.hinted(hint.get_payload_bytes());
                }
                _ = tries.tick() => {
                    timeout(WITHIN, trying.ping::<redis::Value>()).await??;
                }
            }
        }
    }

    /// What is no user is nobody's hint.
    fn hinted(&self, hint: &[u8]) {
        let user = std::str::from_utf8(hint).ok();
        let user = user.and_then(|text| text.parse().ok());
        if let Some(user) = user.and_then(|id| UserId::new(id).ok()) {
            self.cached(|cache| cache.forget(user, since_boot()));
        }
    }

    pub(super) fn channel(&self) -> String {
        self.redis.key("routes")
    }
}
