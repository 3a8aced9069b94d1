//! What pushes say: read from Postgres each time they are told, with the senders' names. A message may
//! be edited or deleted while its push waits, or while whoever is told does not take it.

use std::collections::{BTreeSet, HashMap};

use protocol::{PushRecord, UserId};
use service::lifecycle::chain;
use store::{Notice, Store, StoreError, Wanted};
use tokio_util::sync::CancellationToken;

use super::metrics::PushMetrics;
use super::told::Told;
use crate::pipeline::backoff::{Backoff, Stopped};

/// Reads what these pushes say.
pub(super) struct Notices<'a> {
    pub(super) records: Vec<&'a PushRecord>,
    pub(super) store: &'a Store,
    pub(super) metrics: &'a PushMetrics,
    /// Cancelled when they are not this process's to tell any more.
    pub(super) over: &'a CancellationToken,
}

impl Notices<'_> {
    /// What each of them says now, in order; none where there is nothing to tell: the message is
    /// gone, the user's own (I8), or of a room that the user was not in (I12). Postgres away: asked
    /// again until it is back.
    pub(super) async fn now(&self) -> Result<Vec<Option<Told>>, Stopped> {
        let mut backoff = Backoff::default();
        loop {
            match self.read().await {
                Ok(told) => return Ok(told),
                Err(error) => {
                    self.metrics.store_failures.inc();
                    tracing::warn!(error = chain(&error), "pushes wait for Postgres");
                    backoff.wait(self.over).await?;
                }
            }
        }
    }

    async fn read(&self) -> Result<Vec<Option<Told>>, StoreError> {
        let wanted: Vec<Wanted> = self.records.iter().map(|record| which(record)).collect();
        let notices = self.store.notices(&wanted).await?;
        let senders: BTreeSet<UserId> = notices.values().map(|one| one.sender).collect();
        let names = match senders.is_empty() {
            true => HashMap::new(),
            false => {
                let senders: Vec<UserId> = senders.into_iter().collect();
                self.store.names(&senders).await?
            }
        };
        let told = self.records.iter().map(|record| {
            let notice: &Notice = notices.get(&which(record))?;
            Some(Told {
                room: record.room,
                seq: record.seq,
                notice: notice.clone(),
                sender_name: names.get(&notice.sender).cloned().unwrap_or_default(),
            })
        });
        Ok(told.collect())
    }
}

fn which(record: &PushRecord) -> Wanted {
    (record.user, record.room, record.seq)
}
