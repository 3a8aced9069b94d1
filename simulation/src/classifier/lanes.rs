//! Which lanes are this classifier's, as `owner` does it.

use std::time::Duration;

use classifier::pipeline::rooms::Rooms;
use classifier::ports::Ledger;
use protocol::Lane;
use routing::decide::{Action, Me, Member, Slot, Table, Want, decide};
use store::HeldLane;

use super::{Held, Job, LEASE, at_once, name};
use crate::world::World;

impl World {
    pub(super) fn renew(&mut self, n: usize) {
        if self.away.postgres > self.now {
            return;
        }
        let held = self.classifiers[n].held.iter();
        let held: Vec<HeldLane> = held
            .map(|(lane, held)| HeldLane {
                lane: *lane,
                epoch: held.epoch,
                routed: held.routed.min(held.applied),
            })
            .collect();
        let name = name(n);
        let Some(Ok(table)) = at_once(self.postgres.heartbeat(&name, LEASE, &held)) else {
            return;
        };
        for row in &table.lanes {
            let lost = self.classifiers[n].held.get(&row.lane).is_some_and(|held| {
                row.owner.as_ref() != Some(&name)
                    || row.epoch != held.epoch
                    || !(held.applied..=held.ahead.max(held.applied)).contains(&row.applied)
            });
            if lost {
                self.lose(n, row.lane);
            }
        }
        let lost = &mut self.classifiers[n].lost;
        lost.retain(|lane, epoch| {
            let mut rows = table.lanes.iter();
            rows.any(|row| {
                row.lane == *lane && row.owner.as_ref() == Some(&name) && row.epoch == *epoch
            })
        });
        let table = Table {
            read_at: Duration::from_millis(self.now),
            members: table
                .members
                .into_iter()
                .map(|member| Member {
                    name: member.name,
                    ttl_left: member.ttl_left,
                })
                .collect(),
            slots: table
                .lanes
                .into_iter()
                .map(|row| Slot {
                    partition: row.lane,
                    owner: row.owner,
                    claim: row.epoch,
                    ttl_left: row.ttl_left,
                })
                .collect(),
        };
        self.classifier_soon(n, 1, 50, Job::Act(table));
    }

    pub(super) fn take_lanes(&mut self, n: usize, table: &Table<Lane>) {
        let name = name(n);
        let classifier = &self.classifiers[n];
        let held: Vec<(Lane, i64)> = classifier.held.iter().map(|(l, h)| (*l, h.epoch)).collect();
        let me = Me {
            name: &name,
            held: &held,
            highest: classifier.highest,
            want: Want::Share,
        };
        let actions = decide(table, &me, Duration::from_millis(self.now));
        let mut claims: Vec<Lane> = classifier.lost.keys().copied().collect();
        for action in actions {
            match action {
                Action::Claim(lane) => claims.push(lane),
                Action::Release(lane) => self.release(n, lane),
            }
        }
        claims.sort_unstable();
        claims.dedup();
        claims.retain(|lane| !self.classifiers[n].held.contains_key(lane));
        if self.away.postgres > self.now {
            return;
        }
        for lane in claims {
            let claimed = at_once(self.postgres.claim(&name, lane, "topic", LEASE));
            // The answer may be lost: the claim stands until it lapses.
            if self.mishap(30) {
                continue;
            }
            let Some(Ok(Some(claim))) = claimed else {
                continue;
            };
            self.note(format!("{name} has lane {lane}: {claim:?}"));
            self.moved = self.now;
            let start = claim.routed.min(claim.applied) + 1;
            let classifier = &mut self.classifiers[n];
            classifier.highest = classifier.highest.max(claim.epoch);
            classifier.lost.remove(&lane);
            let held = Held {
                epoch: claim.epoch,
                decided_before: claim.applied,
                applied: claim.applied,
                ahead: claim.applied,
                routed: claim.routed,
                next: usize::try_from(start).unwrap_or(0),
                rooms: Rooms::default(),
            };
            classifier.held.insert(lane, held);
            self.classifier_soon(n, 1, 6, Job::Work);
        }
    }

    pub(super) fn release(&mut self, n: usize, lane: Lane) {
        let busy = self.classifiers[n].work.as_ref();
        if busy.is_some_and(|work| work.records.iter().any(|record| record.lane == lane)) {
            // After its last commit: a later turn does it.
            return;
        }
        if let Some(held) = self.classifiers[n].held.remove(&lane)
            && self.away.postgres <= self.now
        {
            let routed = held.routed.min(held.applied);
            let name = name(n);
            self.note(format!("{name} hands lane {lane} over"));
            self.moved = self.now;
            at_once(self.postgres.release(&name, lane, held.epoch, routed));
        }
    }

    pub(super) fn lose(&mut self, n: usize, lane: Lane) {
        if let Some(held) = self.classifiers[n].held.remove(&lane) {
            self.note(format!("{} loses lane {lane}", name(n)));
            self.classifiers[n].lost.insert(lane, held.epoch);
            self.classifier_soon(n, 50, 51, Job::Renew);
        }
    }
}
