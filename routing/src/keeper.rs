//! Keeps one home for this process: takes it, renews it, tells when it is lost, takes it again.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use protocol::Home;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::connection::{Redis, RoutingError};
use crate::decide::{Action, Me, Table, View, Want, decide, decide_in_grace, is_former};
use crate::homes::HomeTable;
use crate::since_boot;

/// Renewals to a lease: three may fail before it is lost.
const BEATS_PER_LEASE: u32 = 4;

/// How soon to ask again after a failure or a lost race for a home.
const AGAIN: Duration = Duration::from_millis(50);

/// Why a newcomer waits though homes are free.
const GRACE: &str = "the table of homes is new or was silent: those who had one come first";

/// What a process needs to say to be given a home.
#[derive(Debug, Clone)]
pub struct HomeSettings {
    /// The process's name; after a restart the same one gets the same home back. Two processes must
    /// not share one: the later takes over the home of the earlier.
    pub name: String,
    /// How many homes there are.
    pub homes: i32,
    /// For how long a claim stands without being renewed.
    pub lease: Duration,
}

/// A home, held by this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Which one.
    pub home: Home,
    /// The number of this claim, above that of every claim before.
    pub incarnation: i64,
    /// Until when, by [`since_boot`], unless it is renewed: a lease from when the last renewal was
    /// asked for, so it ends here before it ends in Redis.
    pub until: Duration,
}

impl Held {
    /// Whether the lease stands at `now` (by [`since_boot`]). To be asked before anything that only
    /// an owner may do: a process that was paused wakes up with a lease that has ended.
    pub fn is_live(&self, now: Duration) -> bool {
        now < self.until
    }
}

/// Whether this process has a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HomeState {
    /// The table can't be read, so nobody knows: the home that it had may be its own still, and be
    /// held again under the same incarnation.
    Unheard {
        /// Why, for the one who asks whether the process is ready.
        reason: String,
    },
    /// The table says that it has none, not yet or not any more: whatever it had is over.
    Waiting {
        /// Why, for the one who asks whether the process is ready.
        reason: String,
    },
    /// It has one.
    Held(Held),
}

/// The task that keeps a home.
pub struct HomeKeeper {
    table: HomeTable,
    name: String,
    lease: Duration,
    state: watch::Sender<HomeState>,
    views: watch::Sender<Option<Arc<View>>>,
    held: Option<Held>,
    /// The home held last: the one to take again if Redis has forgotten.
    had: Option<Home>,
    highest: i64,
    /// When the claim was made or renewed last, and whom to tell how long the next renewal took.
    renewed: Duration,
    observer: Box<dyn Fn(Duration) + Send>,
}

impl HomeKeeper {
    /// A keeper and what it tells.
    ///
    /// Receivers are woken when a home is taken or lost, not by renewals, though what they then read
    /// shows the last one. Between two looks a home may have been lost and taken again, under
    /// another incarnation.
    pub fn new(redis: &Redis, settings: HomeSettings) -> (Self, watch::Receiver<HomeState>) {
        let (state, receiver) = watch::channel(HomeState::Unheard {
            reason: "the homes have not been read yet".to_owned(),
        });
        let keeper = Self {
            table: HomeTable::new(redis, settings.homes),
            name: settings.name,
            lease: settings.lease,
            state,
            views: watch::Sender::new(None),
            held: None,
            had: None,
            highest: 0,
            renewed: Duration::ZERO,
            observer: Box::new(drop),
        };
        (keeper, receiver)
    }

    /// Tells at each renewal how long ago the one before it was, or the claim: more than a quarter of
    /// the lease when it is late. Nothing is told of a home that was lost meanwhile.
    #[must_use]
    pub fn observed(mut self, observer: impl Fn(Duration) + Send + 'static) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// The whole table, as each heartbeat brings it; none before the first. It stays as it was while
    /// Redis is away: [`Table::read_at`] says how old it is.
    pub fn views(&self) -> watch::Receiver<Option<Arc<View>>> {
        self.views.subscribe()
    }

    /// Keeps a home until `end` resolves, then releases it: the process must be done with it by
    /// then. Nothing that Redis does ends it earlier.
    pub async fn run(mut self, end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        loop {
            // Never interrupted: a claim whose answer nobody waits for would stay behind.
            let wait = self.beat().await;
            tokio::select! {
                () = &mut end => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.release().await;
    }

    /// One round; says how long to wait for the next.
    async fn beat(&mut self) -> Duration {
        let issued = since_boot();
        let incarnation = self.held.map_or(0, |held| held.incarnation);
        let heartbeat = self.table.take_part(&self.name, incarnation, self.lease);
        let answer = match self.held {
            // A Redis that is slow to fail must not hide that the lease has run out meanwhile.
            Some(held) if held.is_live(issued) => {
                tokio::time::timeout(held.until - issued, heartbeat).await
            }
            _ => Ok(heartbeat.await),
        };
        match answer {
            Ok(Ok(heard)) => {
                let heard = Arc::new(heard);
                self.views.send_replace(Some(Arc::clone(&heard)));
                self.judge(&heard).await
            }
            Ok(Err(error)) => self.unheard(Some(error)),
            Err(_elapsed) => self.unheard(None),
        }
    }

    /// Redis did not answer. The home is kept for as long as the lease is sure to stand, and asked
    /// for again after that: it may still be ours.
    fn unheard(&mut self, error: Option<RoutingError>) -> Duration {
        if self.held.is_none_or(|held| !held.is_live(since_boot())) {
            let cause = error.map_or_else(|| "no answer in time".to_owned(), |e| causes(&e));
            self.tell(HomeState::Unheard {
                reason: format!("the home can't be renewed: {cause}"),
            });
        }
        AGAIN
    }

    async fn judge(&mut self, heard: &View) -> Duration {
        let table = &heard.table;
        if let Some(held) = self.held {
            let stands = table.slots.iter().any(|slot| {
                slot.partition == held.home
                    && slot.claim == held.incarnation
                    && slot.owner.as_deref() == Some(&self.name)
                    && !slot.ttl_left.is_zero()
            });
            if stands {
                (self.observer)(table.read_at.saturating_sub(self.renewed));
                self.hold(held.home, held.incarnation, table.read_at);
                return self.lease / BEATS_PER_LEASE;
            }
            self.held = None;
            self.tell(HomeState::Waiting {
                reason: format!("home {} was lost", held.home),
            });
        }
        let me = Me {
            name: &self.name,
            held: &[],
            highest: self.highest,
            want: Want::One {
                preferred: self.had.or_else(|| ordinal_home(&self.name)),
            },
        };
        let now = since_boot();
        let grace_left = heard.grace_left.saturating_sub(now - table.read_at);
        let actions = if grace_left.is_zero() {
            decide(table, &me, now)
        } else {
            decide_in_grace(table, &me, self.had, now)
        };
        let Some(Action::Claim(home)) = actions.first().copied() else {
            self.tell(HomeState::Waiting {
                reason: if grace_left.is_zero() {
                    self.why_none(table)
                } else {
                    GRACE.to_owned()
                },
            });
            return self.lease / BEATS_PER_LEASE;
        };
        let newcomer = !is_former(table, &me, self.had, home);
        let issued = since_boot();
        let (name, highest, lease) = (&self.name, self.highest, self.lease);
        let claim = if newcomer {
            self.table
                .claim_as_newcomer(home, name, highest, lease)
                .await
        } else {
            self.table.claim(home, name, highest, lease).await
        };
        match claim {
            Ok(Some(incarnation)) => {
                self.hold(home, incarnation, issued);
                self.lease / BEATS_PER_LEASE
            }
            // Another was faster, or the grace has begun; the table says what is left.
            Ok(None) => AGAIN,
            Err(error) => self.unheard(Some(error)),
        }
    }

    fn hold(&mut self, home: Home, incarnation: i64, issued: Duration) {
        let held = Held {
            home,
            incarnation,
            until: issued + self.lease,
        };
        self.held = Some(held);
        self.renewed = issued;
        self.had = Some(home);
        self.highest = self.highest.max(incarnation);
        self.tell(HomeState::Held(held));
    }

    fn why_none(&self, table: &Table<Home>) -> String {
        let replaced = table.slots.iter().find(|slot| {
            slot.owner.as_deref() == Some(&self.name)
                && slot.claim > self.highest
                && !slot.ttl_left.is_zero()
        });
        match replaced {
            Some(slot) => format!(
                "another process of the name {} holds home {}",
                self.name, slot.partition
            ),
            None => format!("all {} homes are held by others", self.table.homes()),
        }
    }

    /// Wakes the receivers only for what is news to them.
    fn tell(&self, new: HomeState) {
        self.state.send_if_modified(|state| {
            let news = match (&*state, &new) {
                (HomeState::Held(a), HomeState::Held(b)) => {
                    (a.home, a.incarnation) != (b.home, b.incarnation)
                }
                (a, b) => a != b,
            };
            if news {
                match &new {
                    HomeState::Held(held) => {
                        info!(home = %held.home, incarnation = held.incarnation, "home held");
                    }
                    HomeState::Unheard { reason } | HomeState::Waiting { reason } => {
                        warn!(reason, "no home");
                    }
                }
            }
            *state = new;
            news
        });
    }

    async fn release(&mut self) {
        let Some(held) = self.held.take() else { return };
        let released = self
            .table
            .release(held.home, &self.name, held.incarnation)
            .await;
        match released {
            Ok(_) => info!(home = %held.home, "home released"),
            // It ends by itself then.
            Err(error) => warn!(home = %held.home, error = causes(&error), "home not released"),
        }
    }
}

/// The home that goes with a StatefulSet's ordinal: `was-0` has the first one.
fn ordinal_home(name: &str) -> Option<Home> {
    let (_, ordinal) = name.rsplit_once('-')?;
    let ordinal: i32 = ordinal.parse().ok()?;
    ordinal.checked_add(1).map(Home)
}

/// An error and what it came from, on one line: as `service::lifecycle::chain`, which this crate must
/// not know.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinal_names_a_home() {
        for (name, home) in [
            ("was-0", Some(Home(1))),
            ("chat-was-12", Some(Home(13))),
            ("was", None),
            ("was-7f9c", None),
            ("was-2147483647", None),
        ] {
            assert_eq!(ordinal_home(name), home, "{name}");
        }
    }
}
