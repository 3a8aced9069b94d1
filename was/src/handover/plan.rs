//! Which records a batch of orphans becomes. Pure.

use std::collections::BTreeSet;

use bytes::Bytes;
use protocol::{DeliveryHeaders, DlqReason, PushRecord, Reminders, Target, header};
use service::kafka::{Outgoing, Topics};

use super::{Handed, Targets};
use crate::custody::Orphan;

/// One record for each home and message with all who are to get it there, and a push for each who has
/// nowhere to get it.
#[derive(Debug, Default)]
pub(super) struct Plan {
    reminders: Reminders,
    pushes: Vec<Orphan>,
    on: Vec<Orphan>,
}

impl Plan {
    pub(super) fn new(orphans: &[Orphan], targets: &Targets) -> Self {
        let mut plan = Self::default();
        for orphan in orphans {
            let Orphan { user, room, seq } = *orphan;
            match targets.get(&user).map(Vec::as_slice) {
                None | Some([]) => plan.pushes.push(*orphan),
                Some(homes) => {
                    plan.on.push(*orphan);
                    for home in homes {
                        plan.reminders.add(*home, room, seq, user);
                    }
                }
            }
        }
        plan
    }

    /// Counts what was done, if all of it was but `failed`.
    pub(super) fn count(&self, failed: &BTreeSet<Orphan>, handed: &mut Handed) {
        let done = |orphan: &&Orphan| !failed.contains(orphan);
        handed.on += self.on.iter().filter(done).count();
        handed.pushed += self.pushes.iter().filter(done).count();
    }

    /// The records, each with the orphans that it is for.
    pub(super) fn records(&self, topics: &Topics) -> impl Iterator<Item = (Outgoing, Vec<Orphan>)> {
        let reminders = self.reminders.records();
        let reminders = reminders.map(|(home, headers)| {
            let record = Outgoing {
                partition: Some(home.0),
                headers: headers.encode(),
                ..Outgoing::to(topics.receive())
            };
            (record, orphans_of(headers))
        });
        let pushes = self.pushes.iter().map(|orphan| {
            let record = PushRecord::check(orphan.user, orphan.room, orphan.seq);
            let record = Outgoing {
                key: Some(record.key()),
                payload: Some(record.encode()),
                ..Outgoing::to(topics.push())
            };
            (record, vec![*orphan])
        });
        reminders.chain(pushes)
    }
}

/// The dead letter of a push that Kafka does not take.
pub(super) fn letter(push: Outgoing, topics: &Topics) -> Outgoing {
    let reason = DlqReason::Undeliverable.as_str().as_bytes();
    Outgoing {
        key: Some(Bytes::from_static(b"push")),
        headers: vec![(header::REASON, Bytes::from_static(reason))],
        payload: push.payload,
        ..Outgoing::to(topics.dlq())
    }
}

fn orphans_of(headers: DeliveryHeaders) -> Vec<Orphan> {
    let (Target::Users(users), Some(room), Some(seq)) = (headers.target, headers.room, headers.seq)
    else {
        return Vec::new();
    };
    let orphan = |user| Orphan { user, room, seq };
    users.into_iter().map(orphan).collect()
}
