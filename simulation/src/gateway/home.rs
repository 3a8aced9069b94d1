//! The home: kept as `routing::keeper` does it, read as `was::registry` does.

use std::time::Duration;

use classifier::ports::Outgoing;
use protocol::{Address, CloseCode, DeliveryHeaders, Home, Target, UserId};
use routing::decide::{Action, Me, Table, Want, decide};
use was::session::Input;

use super::{BEAT, HOMELESS, Held, Job, index};
use crate::redis::{LEASE, gateway_name};
use crate::world::{Event, HOMES, Server, World};

impl World {
    pub(super) fn beat(&mut self, n: usize) {
        self.gateway_soon(n, BEAT, BEAT + 1, Job::Beat);
        if self.away.redis > self.now {
            return;
        }
        let held = self.gateways[n].held;
        let incarnation = held.map_or(0, |held| held.incarnation);
        let table = self.redis.heartbeat(n, incarnation, HOMES, self.now);
        let name = gateway_name(n);
        if let Some(held) = held {
            let mut slots = table.slots.iter();
            let mine = slots.any(|slot| {
                (slot.partition, slot.claim) == (held.home, held.incarnation)
                    && slot.owner.as_deref() == Some(&name)
                    && !slot.ttl_left.is_zero()
            });
            if mine {
                let next = self.gateways[n].next;
                self.gateways[n].held = Some(Held {
                    until: self.now + LEASE,
                    ..held
                });
                if let Some(committed) = self.committed.get_mut(index(held.home)) {
                    *committed = next;
                }
            } else {
                self.lose_home(n);
            }
        }
        self.gateway_soon(n, 1, 50, Job::Act(table));
    }

    pub(super) fn lose_home(&mut self, n: usize) {
        self.note(format!("{} has lost its home", gateway_name(n)));
        self.gateways[n].held = None;
        self.gateway_soon(n, HOMELESS, HOMELESS + 1, Job::SendAway);
    }

    pub(super) fn send_away(&mut self, n: usize) {
        if self.gateways[n].held.is_none() {
            for address in self.addresses(n) {
                self.session(n, address, Input::Drain(100));
            }
        }
    }

    pub(super) fn addresses(&self, n: usize) -> Vec<Address> {
        self.gateways[n].sessions.keys().copied().collect()
    }

    /// A home was claimed anew: the sessions that are here write routes to it.
    pub(super) fn rebuild(&mut self, n: usize, held: Held) {
        for address in self.addresses(n) {
            if let Some(connected) = self.gateways[n].sessions.get_mut(&address) {
                connected.route.home = held.home;
                connected.route.incarnation = held.incarnation;
                self.session(n, address, Input::Rebuild(held.home));
            }
        }
    }

    pub(super) fn act(&mut self, n: usize, table: &Table<Home>) {
        let gateway = &self.gateways[n];
        let held: Vec<(Home, i64)> = gateway
            .held
            .iter()
            .map(|h| (h.home, h.incarnation))
            .collect();
        let name = gateway_name(n);
        let preferred = i32::try_from(n).ok().map(|n| Home(n + 1));
        let me = Me {
            name: &name,
            held: &held,
            highest: gateway.highest,
            want: Want::One { preferred },
        };
        let highest = gateway.highest;
        if self.away.redis > self.now {
            return;
        }
        for action in decide(table, &me, Duration::from_millis(self.now)) {
            let Action::Claim(home) = action else {
                continue;
            };
            let Some(incarnation) = self.redis.claim(home, n, highest, self.now) else {
                continue;
            };
            self.note(format!("{name} has home {home} as {incarnation}"));
            self.moved = self.now;
            self.only_holder(n, home, incarnation);
            let next = self.committed.get(index(home)).copied().unwrap_or(0);
            let gateway = &mut self.gateways[n];
            gateway.highest = gateway.highest.max(incarnation);
            gateway.next = next;
            let held = Held {
                home,
                incarnation,
                until: self.now + LEASE,
            };
            gateway.held = Some(held);
            self.gateway_soon(n, 1, 10, Job::Read);
            self.rebuild(n, held);
        }
    }

    /// I6: nobody else who lives holds the home, but for a lease after Redis has lost its memory.
    pub(super) fn only_holder(&mut self, n: usize, home: Home, incarnation: i64) {
        let emptied = self.redis.emptied.is_some_and(|at| self.now < at + LEASE);
        let mut others = self
            .gateways
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != n);
        let other = others.any(|(_, gateway)| {
            gateway.life.up
                && gateway.held.is_some_and(|held| {
                    held.home == home
                        && (held.until > self.now && !emptied || held.incarnation == incarnation)
                })
        });
        if other {
            let broken = format!("I6: home {home} has two holders at {incarnation}");
            self.check(Err(broken));
        }
    }

    /// A new record of a home is there.
    pub fn wake_reader(&mut self, home: Home) {
        for n in 0..self.gateways.len() {
            if self.gateways[n].held.is_some_and(|held| held.home == home) {
                self.gateway_soon(n, 1, 8, Job::Read);
            }
        }
    }

    pub(super) fn read_home(&mut self, n: usize) {
        while let Some(held) = self.gateways[n].held {
            let next = self.gateways[n].next;
            let Some(record) = self
                .homes
                .get(index(held.home))
                .and_then(|log| log.get(next))
            else {
                return;
            };
            let record = record.clone();
            self.gateways[n].next = next + 1;
            self.dispatch(n, held, record);
        }
    }

    pub(super) fn dispatch(&mut self, n: usize, held: Held, record: Outgoing) {
        let headers = record
            .headers
            .iter()
            .map(|(name, value)| (*name, &value[..]));
        let Ok(headers) = DeliveryHeaders::decode(headers) else {
            return self.check(Err("a record of a home can't be read".to_owned()));
        };
        let frame = record.payload.unwrap_or_default();
        match headers.target {
            Target::Session(address) if frame.starts_with(br#"{"type":"evict""#) => {
                self.session(n, address, Input::End(CloseCode::Replaced));
            }
            Target::Session(address) => self.session(n, address, Input::Direct(frame)),
            Target::Users(users) => {
                let (Some(room), Some(seq)) = (headers.room, headers.seq) else {
                    return;
                };
                for user in users {
                    let sessions = self.gateways[n].sessions.iter();
                    let here = sessions.filter(|(_, s)| s.user == user && s.registered);
                    let here: Vec<Address> = here.map(|(address, _)| *address).collect();
                    if here.is_empty() {
                        self.prune(n, held, user);
                    }
                    for address in here {
                        let frame = frame.clone();
                        self.session(n, address, Input::Live { room, seq, frame });
                    }
                }
            }
        }
    }

    /// Routes to here of sessions that are not here.
    pub(super) fn prune(&mut self, n: usize, held: Held, user: UserId) {
        let mut dead = self.redis.routes(user);
        dead.retain(|route| {
            route.home == held.home
                && route.incarnation <= held.incarnation
                && !self.gateways[n].sessions.contains_key(&route.session)
        });
        if !dead.is_empty() && self.away.redis <= self.now {
            self.after(1, 100, Event::Server(Server::Prune(user, dead)));
        }
    }
}
