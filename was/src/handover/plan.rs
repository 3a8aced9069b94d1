//! Which records a batch of orphans becomes. Pure.

use std::collections::BTreeMap;

use protocol::{DeliveryHeaders, Home, MAX_RECIPIENTS_PER_RECORD, PushRecord, RoomId, Seq, UserId};
use service::kafka::{Outgoing, Topics};

use super::{Handed, Targets};
use crate::custody::Orphan;

/// One record for each home and message with all who are to get it there, and a push for each who has
/// nowhere to get it. In the order of the messages: a session that gets them so has fewer holes.
#[derive(Debug, Default)]
pub(super) struct Plan {
    homes: BTreeMap<(RoomId, Seq, Home), Vec<UserId>>,
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
                        plan.homes.entry((room, seq, *home)).or_default().push(user);
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
        let homes = self.homes.iter().flat_map(|((room, seq, home), users)| {
            let chunks = users.chunks(MAX_RECIPIENTS_PER_RECORD);
            chunks.map(|users| Outgoing {
                partition: Some(home.0),
                // Without a value: a session that has not seen it reads it from Postgres.
                headers: DeliveryHeaders::event(*room, *seq, users.to_vec()).encode(),
                ..Outgoing::to(topics.receive())
            })
        });
        let pushes = self.pushes.iter().map(|orphan| {
            let record = PushRecord::check(orphan.user, orphan.room, orphan.seq);
            Outgoing {
                key: Some(record.key()),
                payload: Some(record.encode()),
                ..Outgoing::to(topics.push())
            }
        });
        homes.chain(pushes)
    }
}
