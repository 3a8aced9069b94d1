//! Which records a batch of orphans becomes. Pure.

use std::collections::BTreeSet;

use protocol::{DeliveryHeaders, PushRecord, Reminders, Target};
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

    /// What was done, if all of it was but `failed`.
    pub(super) fn handed(&self, failed: &BTreeSet<Orphan>) -> Handed {
        let done = |orphan: &&Orphan| !failed.contains(orphan);
        Handed {
            on: self.on.iter().filter(done).count(),
            pushed: self.pushes.iter().filter(done).count(),
        }
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

fn orphans_of(headers: DeliveryHeaders) -> Vec<Orphan> {
    let (Target::Users(users), Some(room), Some(seq)) = (headers.target, headers.room, headers.seq)
    else {
        return Vec::new();
    };
    let orphan = |user| Orphan { user, room, seq };
    users.into_iter().map(orphan).collect()
}
