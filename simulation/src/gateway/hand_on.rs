//! What nobody here can confirm is handed on, as `was::handover` does it.

use classifier::ports::{Outgoing, Sink};
use protocol::{DeliveryHeaders, Home, PushRecord, Reminders, Target, UserId};
use routing::Route;
use routing::decide::View;
use was::custody::{Batch, Orphan};
use was::handover::Judged;

use super::{Gateway, Job};
use crate::switches::Without;
use crate::world::{Event, HOMES, Server, World};

/// Orphans handed on together.
const TOGETHER: usize = 20;

impl World {
    /// Hands on what waits, one batch of a reader at a time.
    pub fn hand_on_soon(&mut self, n: usize, home: Home) {
        let reader = self.gateways[n].reader(home).filter(|reader| !reader.busy);
        let Some(reader) = reader else {
            return;
        };
        let Some(batch) = reader.custody.take_orphans(TOGETHER) else {
            return;
        };
        reader.busy = true;
        let number = reader.number;
        self.gateway_soon(n, 1, 30, Job::HandOn(home, number, batch));
    }

    /// Hands a batch on by a look-up of this moment.
    pub fn hand_on(&mut self, n: usize, home: Home, number: u64, batch: Batch) {
        let reader = self.gateways[n].reader(home);
        if reader.is_none_or(|reader| reader.number != number) {
            return;
        }
        let done = Job::Handed(home, number, batch.ticket);
        if self.without == Some(Without::HandOn) {
            return self.gateway_soon(n, 1, 20, done);
        }
        let away = self.away.kafka > self.now;
        let unanswered = away || self.mishap(30);
        if !unanswered || self.chance.one_in(2) {
            self.send_orphans(n, &batch.orphans);
        }
        match unanswered {
            true => self.gateway_soon(n, 100, 1_000, Job::HandOn(home, number, batch)),
            false => self.gateway_soon(n, 1, 20, done),
        }
    }

    /// A batch is acknowledged.
    pub fn handed(&mut self, n: usize, home: Home, number: u64, ticket: was::custody::Ticket) {
        let reader = self.gateways[n].reader(home);
        if let Some(reader) = reader.filter(|reader| reader.number == number) {
            reader.custody.handed(ticket);
            reader.busy = false;
            self.hand_on_soon(n, home);
            self.gateway_soon(n, 1, 5, Job::Read);
        }
    }

    fn send_orphans(&mut self, n: usize, orphans: &[Orphan]) {
        let mut reminders = Reminders::default();
        for Orphan { user, room, seq } in orphans.iter().copied() {
            let targets = self.targets(n, user);
            if targets.is_empty() {
                let record = PushRecord::check(user, room, seq);
                self.publish(Outgoing {
                    sink: Sink::Push,
                    key: Some(record.key()),
                    headers: Vec::new(),
                    payload: Some(record.encode()),
                    trace: None,
                });
                let handed = self.truth.handed.entry((user, room, seq));
                handed.or_default().insert(None);
            }
            for home in targets {
                reminders.add(home, room, seq, user);
            }
        }
        for (home, headers) in reminders.records() {
            let at = self.homes.get(super::index(home)).map_or(0, Vec::len);
            if let (Some(room), Some(seq), Target::Users(users)) =
                (headers.room, headers.seq, &headers.target)
            {
                for user in users {
                    let handed = self.truth.handed.entry((*user, room, seq));
                    handed.or_default().insert(Some((home, at)));
                }
            }
            self.publish(without_value(home, &headers));
        }
    }

    /// The homes of the living routes of a user; those that are dead are removed.
    fn targets(&mut self, n: usize, user: UserId) -> Vec<Home> {
        if self.away.redis > self.now {
            return Vec::new();
        }
        let routes = self.redis.routes(user);
        let Some(view) = &self.gateways[n].view else {
            return Vec::new();
        };
        let gateway = &self.gateways[n];
        let mut judged = judge(gateway, view, false, &routes);
        if judged.ahead {
            let view = self.redis.view(HOMES, self.now);
            judged = judge(gateway, &view, true, &routes);
        }
        if !judged.dead.is_empty() {
            self.after(1, 100, Event::Server(Server::Prune(user, judged.dead)));
        }
        judged.homes
    }
}

fn judge(gateway: &Gateway, view: &View, afterwards: bool, routes: &[Route]) -> Judged {
    let own = gateway.held.map(|held| (held.home, held.incarnation));
    let here = |session| gateway.sessions.contains_key(&session);
    Judged::of(routes, view, afterwards, own, here)
}

/// A record that only says which event there is.
pub fn without_value(home: Home, headers: &DeliveryHeaders) -> Outgoing {
    Outgoing {
        sink: Sink::Home(home),
        key: None,
        headers: headers.encode(),
        payload: None,
        trace: None,
    }
}
