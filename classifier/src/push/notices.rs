//! What pushes say: read from Postgres each time they are told, with the senders' names. A message may
//! be edited or deleted while its push waits, or while whoever is told does not take it.

use std::collections::{BTreeSet, HashMap};

use protocol::{PushRecord, UserId};
use store::{Notice, Store, StoreError, Wanted};
use tokio_util::sync::CancellationToken;

use super::asking::answer;
use super::metrics::PushMetrics;
use super::told::{Fate, Said, Told};
use crate::pipeline::backoff::Stopped;

/// Reads what these pushes say.
pub(super) struct Notices<'a> {
    pub(super) records: Vec<&'a PushRecord>,
    pub(super) store: &'a Store,
    pub(super) metrics: &'a PushMetrics,
    /// Cancelled when they are not this process's to tell any more.
    pub(super) over: &'a CancellationToken,
}

impl Notices<'_> {
    /// What each of them says now, in order; nothing where there is nothing to tell: the message is
    /// gone, the user's own (I8), or of a room that the user was not in (I12). Postgres away: asked
    /// again until it is back. One that can't be read keeps back none of the others (I11).
    pub(super) async fn now(&self) -> Result<Vec<Said>, Stopped> {
        let read = |records| self.read(records);
        readable(&self.records, read, self.metrics, self.over).await
    }

    async fn read(&self, records: Vec<&PushRecord>) -> Result<Vec<Said>, StoreError> {
        let wanted: Vec<Wanted> = records.iter().map(|record| which(record)).collect();
        let notices = self.store.notices(&wanted).await?;
        let senders: BTreeSet<UserId> = notices.values().map(|one| one.sender).collect();
        let names = match senders.is_empty() {
            true => HashMap::new(),
            false => {
                let senders: Vec<UserId> = senders.into_iter().collect();
                self.store.names(&senders).await?
            }
        };
        let told = records.iter().map(|record| {
            let notice: &Notice = notices.get(&which(record)).ok_or(Fate::Nothing)?;
            Ok(Told {
                room: record.room,
                seq: record.seq,
                notice: notice.clone(),
                sender_name: names.get(&notice.sender).cloned().unwrap_or_default(),
            })
        });
        Ok(told.collect())
    }
}

/// What these say, read together; one by one if something of it can't be read.
async fn readable<'a, F>(
    records: &[&'a PushRecord],
    read: impl Fn(Vec<&'a PushRecord>) -> F,
    metrics: &PushMetrics,
    over: &CancellationToken,
) -> Result<Vec<Said>, Stopped>
where
    F: Future<Output = Result<Vec<Said>, StoreError>>,
{
    let together = answer(|| read(records.to_vec()), metrics, over).await?;
    if let Some(said) = together {
        return Ok(said);
    }
    let mut all = Vec::with_capacity(records.len());
    for record in records {
        let one = answer(|| read(vec![record]), metrics, over).await?;
        all.extend(one.unwrap_or_else(|| vec![Err(Fate::Unreadable)]));
    }
    Ok(all)
}

fn which(record: &PushRecord) -> Wanted {
    (record.user, record.room, record.seq)
}

#[cfg(test)]
mod tests {
    use protocol::{RoomId, Seq};
    use service::metrics::Metrics;

    use super::*;

    /// I11: of a message that can't be read nobody is told, and of all others everybody is.
    #[tokio::test]
    async fn i11_what_can_not_be_read_keeps_back_nothing_else() {
        let (user, room) = (UserId::new(3).unwrap(), RoomId::new(7).unwrap());
        let record = |seq| PushRecord::absent(user, room, Seq::new(seq).unwrap());
        let records: Vec<PushRecord> = (1..=4).map(record).collect();
        let read = |records: Vec<&PushRecord>| {
            let corrupt = records.iter().any(|one| one.seq.get() == 2);
            let told = records.iter().map(|one| match one.seq.get() {
                4 => Err(Fate::Nothing),
                _ => Ok(Told {
                    room,
                    seq: one.seq,
                    notice: Notice {
                        sender: user,
                        preview: String::new(),
                        at: 0,
                    },
                    sender_name: String::new(),
                }),
            });
            std::future::ready(match corrupt {
                true => Err(StoreError::Corrupt("played".to_owned())),
                false => Ok(told.collect()),
            })
        };
        let (metrics, over) = (PushMetrics::new(&Metrics::new()), CancellationToken::new());
        let records: Vec<&PushRecord> = records.iter().collect();
        let said = readable(&records, read, &metrics, &over).await.unwrap();
        let said = said.into_iter().map(|one| one.map(|told| told.seq.get()));
        let expected = [Ok(1), Err(Fate::Unreadable), Ok(3), Err(Fate::Nothing)];
        assert_eq!(said.collect::<Vec<_>>(), expected);
    }
}
