//! From a lane to Postgres, as `pipeline::worker` does it.

use std::collections::BTreeMap;

use classifier::pipeline::decide::{Basis, Decided, Step, decide_batch};
use classifier::pipeline::fetch::{Ask, LaneState, fetch};
use classifier::pipeline::record::Received;
use classifier::room::Rules;
use protocol::{Event as Stored, Lane, MessageId, RejectCode, ServerFrame};
use store::{AppendError, Batch, LaneAdvance};

use super::{Committed, Held, Job, LEASE, TOPIC, UnderWay, at_once, name};
use crate::postgres::Tables;
use crate::switches::Without;
use crate::world::{Event, LANES, Server, World};

impl World {
    pub(super) fn collect(&mut self, n: usize) {
        let most = self.chance.between(1, 12);
        let classifier = &mut self.classifiers[n];
        let mut records = Vec::new();
        for (lane, held) in &mut classifier.held {
            let log = usize::try_from(lane.0).ok().and_then(|n| self.lanes.get(n));
            for _ in 0..most {
                let Some(raw) = log.and_then(|log| log.get(held.next)) else {
                    break;
                };
                held.next += 1;
                records.push(Received::read(*lane, held.epoch, LANES, raw.clone()));
            }
        }
        if !records.is_empty() {
            let (ask, decided) = (Ask::Needed, None);
            classifier.work = Some(UnderWay {
                records,
                ask,
                decided,
            });
        }
    }

    /// Decides what is under way and sends its append.
    pub(super) fn attempt(&mut self, n: usize) {
        let classifier = &mut self.classifiers[n];
        let Some(mut work) = classifier.work.take() else {
            return;
        };
        let held = &classifier.held;
        work.records.retain(|record| {
            held.get(&record.lane)
                .is_some_and(|held| held.epoch == record.epoch)
        });
        if work.records.is_empty() {
            return self.classifier_soon(n, 1, 4, Job::Work);
        }
        if self.away.postgres > self.now {
            self.classifiers[n].work = Some(work);
            return self.classifier_soon(n, 20, 400, Job::Work);
        }
        let states: BTreeMap<Lane, LaneState<'_>> = held
            .iter()
            .filter(|(lane, _)| work.records.iter().any(|record| record.lane == **lane))
            .map(|(lane, held)| {
                let state = LaneState {
                    applied: held.applied,
                    decided_before: held.decided_before,
                    rooms: &held.rooms,
                };
                (*lane, state)
            })
            .collect();
        let decided = loop {
            let fetched = fetch(&self.postgres, &work.records, &states, &work.ask);
            let Some(Ok(fetched)) = at_once(fetched) else {
                return self.check(Err("plain data was not read".to_owned()));
            };
            // Only its mutation leaves it to the fence to be missing.
            if !fetched.stale.is_empty() && self.without != Some(Without::Applied) {
                self.classifiers[n].work = Some(work);
                fetched
                    .stale
                    .into_iter()
                    .for_each(|lane| self.lose(n, lane));
                return self.classifier_soon(n, 1, 4, Job::Work);
            }
            let before = states
                .iter()
                .map(|(lane, state)| (*lane, state.decided_before));
            let before = before.collect();
            let basis = Basis {
                rooms: fetched.rooms,
                found: &fetched.found,
                decided_before: &before,
                rules: Rules { group_limit: 100 },
                topic: TOPIC,
            };
            let decided = decide_batch(&work.records, basis);
            if decided.unsure.is_empty() {
                let told = never_refused(&self.postgres.tables(), &decided.steps);
                match told {
                    Ok(refused) => self.truth.refused.extend(refused),
                    Err(told) => return self.check(Err(told)),
                }
                break decided;
            }
            let unsure = decided.unsure.iter().copied();
            work.ask = match std::mem::take(&mut work.ask) {
                Ask::Also(mut keys) => {
                    keys.extend(unsure);
                    Ask::Also(keys)
                }
                Ask::Needed => Ask::Also(unsure.collect()),
                Ask::All => Ask::All,
            };
        };
        let batch = batch(name(n), &decided, held);
        if batch.lanes.is_empty() {
            return self.commit(n, &work.records, decided, Vec::new());
        }
        let classifier = &mut self.classifiers[n];
        for advance in &batch.lanes {
            if let Some(held) = classifier.held.get_mut(&advance.lane) {
                held.ahead = advance.applied;
            }
        }
        let (life, sent) = (classifier.life.number, Box::new(batch.clone()));
        work.decided = Some((decided, batch));
        classifier.work = Some(work);
        self.send_append(n, life, sent);
    }

    /// An append may be long under way, and its answer may be lost, whether it was stored or not.
    pub(super) fn send_append(&mut self, n: usize, life: u64, batch: Box<Batch>) {
        let sent = |answered| Event::Server(Server::Append(n, life, batch, answered));
        if !self.mishap(15) {
            return self.after(1, 10, sent(true));
        }
        match self.chance.between(0, 4) {
            0 => return self.after(100, 3_000, sent(true)),
            1 => self.after(1, 10, sent(false)),
            2 => self.after(500, 5_000, sent(false)),
            _ => {}
        }
        let lost = AppendError::Unknown("no answer".to_owned());
        self.classifier_soon(n, 100, 1_000, Job::Appended(Err(lost)));
    }

    /// An append reaches Postgres.
    pub fn append_arrives(&mut self, n: usize, life: u64, batch: &Batch, answered: bool) {
        let away = self.away.postgres > self.now;
        let result = match away {
            true => Err(AppendError::Unavailable("away".to_owned())),
            false => self.postgres.tables().append(batch),
        };
        if result.is_ok() {
            let truth = self.truth.committed(batch);
            self.check(truth);
            let count = batch.events.len();
            self.note(format!("{} stores {count}: {:?}", batch.owner, batch.lanes));
        }
        if answered {
            self.after(1, 10, Event::Classifier(n, life, Job::Appended(result)));
        }
    }

    pub(super) fn appended(&mut self, n: usize, result: Result<(), AppendError>) {
        let Some(mut work) = self.classifiers[n].work.take() else {
            return;
        };
        let Some((decided, batch)) = work.decided.take() else {
            self.classifiers[n].work = Some(work);
            return;
        };
        let error = match result {
            Ok(()) => return self.commit(n, &work.records, decided, batch.events),
            Err(error) => error,
        };
        self.note(format!("{}: {error}", batch.owner));
        let all = || batch.lanes.iter().map(|advance| advance.lane).collect();
        let lost: Vec<Lane> = match error {
            AppendError::Fenced(lanes) => lanes,
            AppendError::SeqTaken(_) | AppendError::Unknown(_) => all(),
            AppendError::IdTaken if matches!(work.ask, Ask::All) => all(),
            AppendError::IdTaken => {
                work.ask = Ask::All;
                Vec::new()
            }
            AppendError::BadData { .. } => {
                return self.check(Err("nothing here is bad data".to_owned()));
            }
            AppendError::Unavailable(_) => Vec::new(),
        };
        for advance in &batch.lanes {
            if let Some(held) = self.classifiers[n].held.get_mut(&advance.lane) {
                held.ahead = held.applied;
            }
        }
        self.classifiers[n].work = Some(work);
        lost.into_iter().for_each(|lane| self.lose(n, lane));
        self.classifier_soon(n, 5, 100, Job::Work);
    }

    pub(super) fn commit(
        &mut self,
        n: usize,
        records: &[Received],
        decided: Decided,
        events: Vec<Stored>,
    ) {
        let classifier = &mut self.classifiers[n];
        for (lane, applied) in &decided.applied {
            if let Some(held) = classifier.held.get_mut(lane) {
                (held.applied, held.ahead) = (*applied, *applied);
            }
        }
        for room in decided.rooms.into_values() {
            let lane = protocol::lane_of(room.id, LANES);
            if let Some(held) = classifier.held.get_mut(&lane) {
                held.rooms.put(room);
            }
        }
        let mut upto: BTreeMap<Lane, (i64, i64)> = BTreeMap::new();
        for record in records {
            upto.insert(record.lane, (record.epoch, record.offset()));
        }
        classifier.routing.push_back(Committed {
            events,
            steps: decided.steps,
            upto: upto
                .into_iter()
                .map(|(lane, (epoch, at))| (lane, epoch, at))
                .collect(),
        });
        self.classifier_soon(n, 1, 4, Job::Work);
        self.classifier_soon(n, 0, 3, Job::Route);
    }
}

fn batch(owner: String, decided: &Decided, held: &BTreeMap<Lane, Held>) -> Batch {
    let lanes = decided.applied.iter().filter_map(|(lane, applied)| {
        let held = held.get(lane)?;
        Some(LaneAdvance {
            lane: *lane,
            epoch: held.epoch,
            expected_applied: held.applied,
            applied: *applied,
            routed: held.routed.min(held.applied),
        })
    });
    Batch {
        owner,
        lease: LEASE,
        lanes: lanes.collect(),
        events: decided.events.clone(),
        opened: decided.opened.clone(),
        closed: decided.closed.clone(),
        roles: decided.roles.clone(),
    }
}

/// What is called rejected for good. Trap 1: nothing that is stored when a batch is decided.
fn never_refused(tables: &Tables, steps: &[Step]) -> Result<Vec<MessageId>, String> {
    let mut refused = Vec::new();
    for step in steps {
        let Step::Send(record) = step else { continue };
        let frame = record.payload.as_deref().unwrap_or_default();
        if let Ok(ServerFrame::Rejected { id, code, .. }) = serde_json::from_slice(frame)
            && code != RejectCode::Unavailable
        {
            if tables.is_stored(id) {
                return Err(format!("I2: {id} is stored and called {}", code.as_str()));
            }
            refused.push(id);
        }
    }
    Ok(refused)
}
