//! Hands on what nobody here can confirm (I8): to the homes of the user's living routes, or to a push.
//!
//! The routes are looked up afresh, never from a cache. What is dead among them is removed, compared
//! with what was read (trap 6), and counts as not there. To a home goes a record without a value: its
//! reader takes it into custody, a session that has seen the message drops it, one that has not reads
//! it from Postgres. The home may be the very one that the orphan came from, when a session of the user
//! has come back, or another is still here. Where no route is left, or none could be read, a `chat-push`
//! record with `check` is the end of it: whoever pushes looks once more.
//!
//! Done is what Kafka has acknowledged. Those of a batch of whose records one was not are handed on
//! again: what comes twice is dropped by the session, and may be pushed twice. What Kafka calls too large
//! (the topic may have been told to take less than its records need) would be so for ever: it goes in
//! smaller records, and at last to `chat-dlq`.

mod judged;
mod plan;
#[cfg(test)]
pub(crate) mod played;
#[cfg(test)]
mod tests;
mod whereabouts;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use protocol::{Home, UserId};
use routing::decide::View;
use routing::{HomeState, Route};
use service::kafka::{Delivery, Outgoing, ProduceError, Producer, Publish, Topics};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::custody::Orphan;
use crate::metrics::Observed;
use crate::registry::Registry;
pub use judged::Judged;
use plan::Plan;
pub use whereabouts::{Tables, Whereabouts};

/// Users whose routes are read in one request.
const TOGETHER: usize = 500;
/// Removals of dead routes under way at once: half of what Redis is given at a time.
const REMOVALS: usize = 32;
/// Before a batch that failed is handed on again; doubles each time.
const AGAIN: Duration = Duration::from_millis(100);
/// The longest wait between two attempts.
const AGAIN_MOST: Duration = Duration::from_secs(5);

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Handed {
    /// Orphans that went to the home of a living route, or to several.
    pub on: usize,
    /// Orphans that became a push.
    pub pushed: usize,
    /// Orphans that became a dead letter.
    pub dead_lettered: usize,
}

/// Those of a batch that were not handed on.
#[derive(Debug)]
struct Left {
    orphans: Vec<Orphan>,
    /// Why, of the last of them.
    error: ProduceError,
}

/// What a batch's records are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One for each home and message, with all who are to get it there.
    Shared,
    /// One for each home, message and recipient.
    Single,
    /// Dead letters: one for each message and recipient, as a push.
    Letter,
}

impl Form {
    /// What is tried when Kafka calls such a record too large.
    fn smaller(self) -> Option<Self> {
        match self {
            Self::Shared => Some(Self::Single),
            Self::Single => Some(Self::Letter),
            Self::Letter => None,
        }
    }
}

/// Hands on. One for all homes that this gateway reads, its own and those that it stewards.
pub struct Handover<R = Tables, P = Producer> {
    /// Redis.
    pub routes: R,
    /// Kafka.
    pub publisher: P,
    /// The topics' names.
    pub topics: Topics,
    /// Who is connected here.
    pub registry: Arc<Registry>,
    /// Which home is this gateway's, as its keeper tells.
    pub state: watch::Receiver<HomeState>,
    /// The table of homes, as the keeper read it last.
    pub views: watch::Receiver<Option<Arc<View>>>,
    /// Metrics.
    pub observed: Arc<Observed>,
    /// Cancelled when the producer failed for good: the process ends.
    pub fatal: CancellationToken,
}

/// Where the orphans of each user go; who is not in it, or has no home, is pushed.
type Targets = HashMap<UserId, Vec<Home>>;

impl<R: Whereabouts, P: Publish> Handover<R, P> {
    /// Hands on all of `orphans`, once, and says what is left of them, if anything is.
    async fn hand_on(&self, orphans: &[Orphan], form: Form) -> (Handed, Option<Left>) {
        let targets = match form {
            Form::Shared | Form::Single => self.targets(orphans).await,
            Form::Letter => Targets::new(),
        };
        let together = match form {
            Form::Shared => orphans.len().max(1),
            Form::Single | Form::Letter => 1,
        };
        let plans = orphans.chunks(together);
        let plans: Vec<Plan> = plans.map(|some| Plan::new(some, &targets)).collect();
        let records = plans.iter().flat_map(|plan| plan.records(&self.topics));
        let records = records.map(|(record, orphans)| match form {
            Form::Shared | Form::Single => (record, orphans),
            Form::Letter => (plan::letter(record, &self.topics), orphans),
        });
        let (failed, error) = self.send(records).await;
        let mut handed = Handed::default();
        for plan in &plans {
            plan.count(&failed, &mut handed);
        }
        if form == Form::Letter {
            // Planned as pushes: a letter holds what a push would.
            handed.dead_lettered = std::mem::take(&mut handed.pushed);
        }
        let custody = &self.observed.custody;
        custody.handed_on.inc_by(handed.on as u64);
        custody.pushed.inc_by(handed.pushed as u64);
        custody.dead_lettered.inc_by(handed.dead_lettered as u64);
        let left = error.map(|error| {
            let failed = orphans.iter().filter(|orphan| failed.contains(orphan));
            let orphans = failed.copied().collect();
            Left { orphans, error }
        });
        (handed, left)
    }

    /// Hands on until it is done, with a fresh look-up each time; false when it was stopped before.
    pub async fn until_handed(&self, orphans: &[Orphan], stop: &CancellationToken) -> bool {
        let mut pause = AGAIN;
        let mut left = Cow::Borrowed(orphans);
        let mut form = Form::Shared;
        loop {
            let (handed, failed) = tokio::select! {
                biased;
                () = stop.cancelled() => return false,
                handed = self.hand_on(&left, form) => handed,
            };
            if handed.dead_lettered > 0 {
                let orphans = handed.dead_lettered;
                tracing::error!(orphans, "too large to be handed on: in chat-dlq");
            }
            let Some(Left { orphans, error }) = failed else {
                return true;
            };
            self.observed.hand_on_failures.inc();
            if error == ProduceError::TooLarge {
                let Some(smaller) = form.smaller() else {
                    // They can't be told and they can't be kept; the next ones can.
                    tracing::error!(?orphans, "too large even for chat-dlq: given up");
                    self.observed.custody.given_up.inc_by(orphans.len() as u64);
                    return true;
                };
                form = smaller;
            }
            tracing::warn!(%error, orphans = orphans.len(), "not handed on, will be again");
            left = Cow::Owned(orphans);
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(AGAIN_MOST),
            }
        }
    }

    /// A fresh look-up of everybody. Whose routes can't be read is not among them.
    async fn targets(&self, orphans: &[Orphan]) -> Targets {
        let users: BTreeSet<UserId> = orphans.iter().map(|orphan| orphan.user).collect();
        let users: Vec<UserId> = users.into_iter().collect();
        let mut targets = Targets::with_capacity(users.len());
        for users in users.chunks(TOGETHER) {
            let found = match self.routes.current(users).await {
                Ok(found) => found,
                Err(error) => {
                    self.failed(&error);
                    // The others would only wait for the same.
                    break;
                }
            };
            let found: Vec<(UserId, Arc<[Route]>)> = users.iter().copied().zip(found).collect();
            let Some(judged) = self.judge(&found).await else {
                break;
            };
            let mut dead = Vec::new();
            for (user, judged) in judged {
                targets.insert(user, judged.homes);
                if !judged.dead.is_empty() {
                    dead.push((user, judged.dead));
                }
            }
            self.prune(dead).await;
        }
        targets
    }

    /// None when the table of homes was never read.
    async fn judge(&self, found: &[(UserId, Arc<[Route]>)]) -> Option<Vec<(UserId, Judged)>> {
        let known = self.views.borrow().clone();
        let judged = known.map(|view| self.judge_by(&view, false, found));
        let ahead = |judged: &Vec<(UserId, Judged)>| judged.iter().any(|(_, judged)| judged.ahead);
        if judged.as_ref().is_some_and(|judged| !ahead(judged)) {
            return judged;
        }
        match self.routes.look().await {
            Ok(view) => Some(self.judge_by(&view, true, found)),
            Err(error) => {
                self.failed(&error);
                judged
            }
        }
    }

    fn judge_by(
        &self,
        view: &View,
        afterwards: bool,
        found: &[(UserId, Arc<[Route]>)],
    ) -> Vec<(UserId, Judged)> {
        let own = match &*self.state.borrow() {
            HomeState::Held(held) => Some((held.home, held.incarnation)),
            HomeState::Unheard { .. } | HomeState::Waiting { .. } => None,
        };
        let here = |session| self.registry.has(session);
        let judge = |routes: &[Route]| Judged::of(routes, view, afterwards, own, here);
        let judged = found.iter().map(|(user, routes)| (*user, judge(routes)));
        judged.collect()
    }

    /// One that fails is left standing: it is found again with the user's next record.
    async fn prune(&self, dead: Vec<(UserId, Vec<Route>)>) {
        let removals = stream::iter(dead)
            .map(async |(user, dead)| self.routes.prune(user, &dead).await)
            .buffer_unordered(REMOVALS);
        removals
            .for_each(async |removed| match removed {
                Ok(removed) => self.observed.routes_pruned.inc_by(removed as u64),
                Err(error) => self.failed(&error),
            })
            .await;
    }

    /// Sends all records, and says which orphans are not done for the lack of one, and why.
    async fn send(
        &self,
        records: impl Iterator<Item = (Outgoing, Vec<Orphan>)>,
    ) -> (BTreeSet<Orphan>, Option<ProduceError>) {
        let mut sending = Sending::default();
        for (record, orphans) in records {
            // Of what nobody can take now, no more is tried.
            if sending.is_refused() {
                sending.failed.extend(orphans);
                continue;
            }
            let result = loop {
                match self.publisher.publish(&record) {
                    // Some of what fills the queue is ours: it goes on when that is through.
                    Err(ProduceError::Full) if !sending.sent.is_empty() => sending.settle().await,
                    result => break result,
                }
            };
            match result {
                Ok(delivery) => sending.sent.push((delivery, orphans)),
                Err(error) => sending.fail(orphans, error),
            }
        }
        sending.settle().await;
        if matches!(sending.error, Some(ProduceError::Fatal(_))) {
            self.fatal.cancel();
        }
        (sending.failed, sending.error)
    }

    fn failed(&self, error: &routing::RoutingError) {
        self.observed.route_failures.inc();
        let error = service::lifecycle::chain(error);
        tracing::debug!(error, "routes of orphans");
    }
}

/// What is on its way, and what did not arrive.
#[derive(Default)]
struct Sending {
    sent: Vec<(Delivery, Vec<Orphan>)>,
    failed: BTreeSet<Orphan>,
    error: Option<ProduceError>,
}

impl Sending {
    /// Waits for what was sent.
    async fn settle(&mut self) {
        for (delivery, orphans) in std::mem::take(&mut self.sent) {
            if let Err(error) = delivery.await {
                self.fail(orphans, error);
            }
        }
    }

    fn fail(&mut self, orphans: Vec<Orphan>, error: ProduceError) {
        self.failed.extend(orphans);
        // Too large is said only of what nothing else is the matter with: what is left then is no larger
        // for having waited.
        let stays = match &self.error {
            None | Some(ProduceError::TooLarge) => false,
            Some(ProduceError::Fatal(_)) => true,
            Some(_) => error == ProduceError::TooLarge,
        };
        if !stays {
            self.error = Some(error);
        }
    }

    /// There is no room, or never will be.
    fn is_refused(&self) -> bool {
        matches!(
            self.error,
            Some(ProduceError::Full | ProduceError::Fatal(_))
        )
    }
}
