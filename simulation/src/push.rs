//! Whoever tells those who are not connected: waits, looks them up once more, tells. And the check of every
//! look-up: who is connected is found, or nothing is said about them (trap 10).

use std::collections::BTreeSet;

use protocol::{DeliveryHeaders, Home, PushRecord, UserId};
use routing::Route;

use crate::gateway::without_value;
use crate::world::{Event, Server, World};

/// How long a push waits, in ms.
const WAIT: u64 = 3_000;
/// By when a route that was lost is there again, once nothing stands in the way, in ms.
const HEALED: u64 = 4_000;

impl World {
    /// A record came to `chat-push`.
    pub fn push(&mut self, record: PushRecord) {
        self.after(WAIT, WAIT + 100, Event::Server(Server::Push(record)));
    }

    /// A record of `chat-push` has waited. Who is connected is sent to his homes once more.
    pub fn push_due(&mut self, record: PushRecord) {
        let PushRecord {
            user, room, seq, ..
        } = record;
        let routes = self.routes_of(user);
        let (Some(routes), true) = (routes, self.away.kafka <= self.now) else {
            return self.after(200, 700, Event::Server(Server::Push(record)));
        };
        let homes: BTreeSet<Home> = routes.iter().map(|route| route.home).collect();
        if homes.is_empty()
            && self.truth.concerns(user, room, seq)
            && self.truth.told.insert((user, room, seq))
        {
            self.note(format!("user {user} is told of {room}:{seq}"));
        }
        for home in homes {
            let headers = DeliveryHeaders::event(room, seq, vec![user]);
            self.publish(without_value(home, &headers));
        }
    }

    /// I8: whoever an event concerns has seen it or was told of it.
    pub fn everybody_was_told(&self) -> Result<(), String> {
        for (room, log) in &self.truth.rooms {
            for event in &log.events {
                let members = log.members_at(event.seq);
                let concerned = members.iter().filter(|user| **user != event.from);
                for user in concerned {
                    let mut devices = self.devices.iter().filter(|there| there.user == *user);
                    let seen = devices.any(|there| there.cursors.get(room) >= Some(&event.seq));
                    if !seen && !self.truth.told.contains(&(*user, *room, event.seq)) {
                        let seq = event.seq;
                        return Err(format!("I8: user {user} was never told of {room}:{seq}"));
                    }
                }
            }
        }
        Ok(())
    }

    /// The routes of a user as they stand now; `None`: nothing is known.
    pub fn routes_of(&mut self, user: UserId) -> Option<Vec<Route>> {
        if self.away.redis > self.now {
            return None;
        }
        let fresh = self.number();
        let routes = self.redis.look_up(user, fresh, self.now)?;
        if routes.is_empty() && !self.audits && self.is_connected(user) {
            let broken = format!("trap 10: user {user} is connected and not found");
            self.check(Err(broken));
        }
        Some(routes)
    }

    /// Whether a device of the user listens to a session whose route stands as far as its gateway
    /// knows, and nobody has had a reason to be late lately.
    fn is_connected(&self, user: UserId) -> bool {
        let mut devices = self.devices.iter().filter(|device| device.user == user);
        self.away.redis + HEALED <= self.now
            && devices.any(|device| {
                let connection = device.connection.filter(|_| device.greeted);
                let connection = connection.and_then(|number| self.connections.get(&number));
                connection.is_some_and(|there| {
                    let gateway = &self.gateways[there.gateway];
                    gateway.life.number == there.life
                        && gateway.life.paused_until + HEALED <= self.now
                        && gateway.routes_stand(there.session, self.now)
                })
            })
    }
}
