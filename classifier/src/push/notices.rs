//! What pushes say: read from Postgres where the record does not have it, with the senders' names.

use std::collections::{BTreeSet, HashMap};

use protocol::{Notice, PushRecord, UserId};
use service::lifecycle::chain;
use store::{Store, StoreError, Wanted};
use tokio_util::sync::CancellationToken;

use super::metrics::PushMetrics;
use super::told::Told;
use crate::pipeline::backoff::{Backoff, Stopped};

/// Who knows messages and users: Postgres, or a test.
pub(super) trait Messages: Send + Sync {
    /// As [`Store::notices`].
    fn notices(
        &self,
        wanted: &[Wanted],
    ) -> impl Future<Output = Result<HashMap<Wanted, Notice>, StoreError>> + Send;

    /// As [`Store::names`].
    fn names(
        &self,
        users: &[UserId],
    ) -> impl Future<Output = Result<HashMap<UserId, String>, StoreError>> + Send;
}

impl Messages for Store {
    async fn notices(&self, wanted: &[Wanted]) -> Result<HashMap<Wanted, Notice>, StoreError> {
        Self::notices(self, wanted).await
    }

    async fn names(&self, users: &[UserId]) -> Result<HashMap<UserId, String>, StoreError> {
        Self::names(self, users).await
    }
}

/// Reads what pushes say.
pub(super) struct Notices<'a, M> {
    pub(super) messages: &'a M,
    pub(super) metrics: &'a PushMetrics,
    pub(super) over: &'a CancellationToken,
}

impl<M: Messages> Notices<'_, M> {
    /// What each of these pushes says, in order; none where there is nothing to tell: the message is
    /// gone, the user's own (I8), or of a room that the user was not in (I12). Postgres away: asked
    /// again until it is back.
    pub(super) async fn of(&self, pushes: &[&PushRecord]) -> Result<Vec<Option<Told>>, Stopped> {
        let wanted: Vec<Wanted> = pushes
            .iter()
            .filter(|push| push.notice.is_none())
            .map(|push| (push.user, push.room, push.seq))
            .collect();
        let mut backoff = Backoff::default();
        loop {
            match self.read(&wanted, pushes).await {
                Ok(told) => return Ok(told),
                Err(error) => {
                    self.metrics.store_failures.inc();
                    tracing::warn!(error = chain(&error), "pushes wait for Postgres");
                    backoff.wait(self.over).await?;
                }
            }
        }
    }

    async fn read(
        &self,
        wanted: &[Wanted],
        pushes: &[&PushRecord],
    ) -> Result<Vec<Option<Told>>, StoreError> {
        let read: HashMap<Wanted, Notice> = match wanted {
            [] => HashMap::new(),
            wanted => self.messages.notices(wanted).await?,
        };
        let notices: Vec<Option<&Notice>> = pushes
            .iter()
            .map(|push| {
                let wanted = (push.user, push.room, push.seq);
                push.notice.as_ref().or_else(|| read.get(&wanted))
            })
            .collect();
        let senders: BTreeSet<UserId> = notices.iter().flatten().map(|one| one.sender).collect();
        let names = match senders.is_empty() {
            true => HashMap::new(),
            false => {
                let senders: Vec<UserId> = senders.into_iter().collect();
                self.messages.names(&senders).await?
            }
        };
        let told = pushes.iter().zip(notices).map(|(push, notice)| {
            notice.map(|notice| Told {
                room: push.room,
                seq: push.seq,
                notice: notice.clone(),
                sender_name: names.get(&notice.sender).cloned().unwrap_or_default(),
            })
        });
        Ok(told.collect())
    }
}
