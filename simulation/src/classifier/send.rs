//! From Postgres to the homes, as `pipeline::route` and `pipeline::settle` do it.

use std::collections::HashMap;
use std::time::Duration;

use classifier::pipeline::decide::{Recipients, Step};
use classifier::pipeline::route::deliver;
use classifier::ports::{Outgoing, Sink, Whereabouts};
use protocol::{Event as Stored, Home, Lane, PushRecord, UserId};
use routing::Route;

use super::{Committed, Job};
use crate::gateway::index;
use crate::switches::Without;
use crate::world::{BROADCAST, Event, Server, World};

impl World {
    pub(super) fn look_up(&mut self, n: usize) {
        let now = Duration::from_millis(self.now);
        let classifier = &mut self.classifiers[n];
        let Some(batch) = classifier.routing.front().filter(|_| !classifier.busy) else {
            return;
        };
        let mut users: Vec<UserId> = Vec::new();
        for step in &batch.steps {
            if let Step::Stored(to, _) | Step::Again(_, to, _) = step {
                users.extend_from_slice(to);
            }
        }
        users.sort_unstable();
        users.dedup();
        let mut found = HashMap::new();
        users.retain(|user| match classifier.cache.get(*user, now) {
            Some(routes) => {
                found.insert(*user, routes.to_vec());
                false
            }
            None => true,
        });
        classifier.busy = true;
        if users.is_empty() || self.away.redis > self.now {
            // Lanes go on while nothing is known.
            return self.send(n, &found);
        }
        // What the cache knows now is used, however long the others take.
        let (life, issued) = (classifier.life.number, self.now);
        classifier.found = found;
        self.after(1, 30, Event::Server(Server::Routes(n, life, users, issued)));
    }

    /// A look-up reaches Redis.
    pub fn routes_read(&mut self, n: usize, life: u64, users: Vec<UserId>, issued: u64) {
        let found = users
            .into_iter()
            .filter_map(|user| Some((user, self.routes_of(user)?)))
            .collect();
        let routed = Job::Routed(found, issued);
        self.after(1, 30, Event::Classifier(n, life, routed));
    }

    pub(super) fn send(&mut self, n: usize, found: &HashMap<UserId, Vec<Route>>) {
        let classifier = &mut self.classifiers[n];
        let known = std::mem::take(&mut classifier.found);
        let homes = found
            .iter()
            .chain(&known)
            .map(|(user, routes)| {
                let mut homes: Vec<Home> = routes.iter().map(|route| route.home).collect();
                homes.sort_unstable();
                homes.dedup();
                (*user, homes)
            })
            .collect();
        let homes = Whereabouts {
            known: homes,
            failure: None,
        };
        classifier.busy = false;
        let Some(Committed {
            events,
            steps,
            upto,
        }) = classifier.routing.pop_front()
        else {
            return;
        };
        let mut records = Vec::new();
        let mut events = events.into_iter();
        for step in steps {
            let (event, to, answer): (Stored, Recipients, Option<Outgoing>) = match step {
                Step::Stored(to, answer) => match events.next() {
                    Some(event) => (event, to, answer),
                    None => continue,
                },
                Step::Again(event, to, answer) if self.without == Some(Without::Rerouting) => {
                    drop((event, to));
                    records.extend(answer);
                    continue;
                }
                Step::Again(event, to, answer) => (*event, to, answer),
                Step::Send(record) => {
                    records.push(record);
                    continue;
                }
            };
            records.extend(deliver(&event, &to, &homes));
            records.extend(answer);
        }
        let mut acknowledged = self.now + 1;
        for record in records {
            acknowledged = acknowledged.max(self.produce(n, record));
        }
        let settled = acknowledged + self.chance.between(1, 20);
        let classifier = &mut self.classifiers[n];
        classifier.settled_at = classifier.settled_at.max(settled);
        let (life, time) = (classifier.life.number, classifier.settled_at);
        self.at(time, Event::Classifier(n, life, Job::Settled(upto)));
        self.classifier_soon(n, 0, 3, Job::Route);
    }

    /// Sends a record; when it is there. One that is not acknowledged at first comes later, behind others.
    pub(super) fn produce(&mut self, n: usize, record: Outgoing) -> u64 {
        let away = self.away.kafka > self.now;
        if away || self.mishap(100) {
            let time = self.now.max(self.away.kafka) + self.chance.between(50, 1_500);
            let life = self.classifiers[n].life.number;
            self.at(
                time,
                Event::Server(Server::Publish(n, life, record.clone())),
            );
            // It may have been there all the same.
            if !away && self.chance.one_in(2) {
                self.publish(record);
            }
            return time;
        }
        self.publish(record);
        self.now
    }

    /// A record is in its home.
    pub fn publish(&mut self, record: Outgoing) {
        let home = match record.sink {
            Sink::Home(home) => home,
            Sink::Broadcast => BROADCAST,
            Sink::Push => {
                let (key, value) = (record.key.as_deref(), record.payload.as_deref());
                return match PushRecord::decode(key, value) {
                    Some(record) => self.push(record),
                    None => self.check(Err("a push can't be read".to_owned())),
                };
            }
            Sink::Dlq => return,
        };
        if let Some(log) = self.homes.get_mut(index(home)) {
            log.push(record);
            self.wake_reader(home);
        }
    }

    pub(super) fn settled(&mut self, n: usize, upto: Vec<(Lane, i64, i64)>) {
        for (lane, epoch, offset) in upto {
            if let Some(held) = self.classifiers[n].held.get_mut(&lane)
                && held.epoch == epoch
            {
                held.routed = held.routed.max(offset);
            }
        }
    }
}
