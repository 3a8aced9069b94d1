//! Which records a batch of orphans becomes. Pure.

use protocol::{PushRecord, Reminders};
use service::kafka::{Outgoing, Topics};

use super::{Handed, Targets};
use crate::custody::Orphan;

/// One record for each home and message with all who are to get it there, and a push for each who has
/// nowhere to get it.
#[derive(Debug, Default)]
pub(super) struct Plan {
    reminders: Reminders,
    pushes: Vec<Orphan>,
    on: usize,
}

impl Plan {
    pub(super) fn new(orphans: &[Orphan], targets: &Targets) -> Self {
        let mut plan = Self::default();
        for orphan in orphans {
            let Orphan { user, room, seq } = *orphan;
            match targets.get(&user).map(Vec::as_slice) {
                None | Some([]) => plan.pushes.push(*orphan),
                Some(homes) => {
                    plan.on += 1;
                    for home in homes {
                        plan.reminders.add(*home, room, seq, user);
                    }
                }
            }
        }
        plan
    }

    pub(super) fn handed(&self) -> Handed {
        Handed {
            on: self.on,
            pushed: self.pushes.len(),
        }
    }

    pub(super) fn records(&self, topics: &Topics) -> impl Iterator<Item = Outgoing> {
        let reminders = self.reminders.records();
        let reminders = reminders.map(|(home, headers)| Outgoing {
            partition: Some(home.0),
            headers: headers.encode(),
            ..Outgoing::to(topics.receive())
        });
        let pushes = self.pushes.iter().map(|orphan| {
            let record = PushRecord::check(orphan.user, orphan.room, orphan.seq);
            Outgoing {
                key: Some(record.key()),
                payload: Some(record.encode()),
                ..Outgoing::to(topics.push())
            }
        });
        reminders.chain(pushes)
    }
}
