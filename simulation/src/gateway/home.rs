//! The home, kept as `routing::keeper` does it; and the markers, looked at as `was::healing` does.

use std::time::Duration;

use protocol::{Address, Home, UserId};
use routing::Shard;
use routing::decide::{Action, Me, View, Want, decide, decide_in_grace, is_former};
use was::session::Input;

use super::{BEAT, Gateway, HOMELESS, Held, Job, index};
use crate::redis::{LEASE, gateway_name};
use crate::world::{BROADCAST, HOMES, World};

impl World {
    pub(super) fn beat(&mut self, n: usize) {
        self.gateway_soon(n, BEAT, BEAT + 1, Job::Beat);
        if self.away.redis > self.now {
            return;
        }
        let held = self.gateways[n].held;
        let incarnation = held.map_or(0, |held| held.incarnation);
        let view = self.redis.heartbeat(n, incarnation, HOMES, self.now);
        self.gateways[n].view = Some(view.clone());
        let name = gateway_name(n);
        if let Some(held) = held {
            let mut slots = view.table.slots.iter();
            let mine = slots.any(|slot| {
                (slot.partition, slot.claim) == (held.home, held.incarnation)
                    && slot.owner.as_deref() == Some(&name)
                    && !slot.ttl_left.is_zero()
            });
            if mine {
                self.gateways[n].held = Some(Held {
                    until: self.now + LEASE,
                    ..held
                });
                self.commit_home(n, held.home);
            } else {
                self.lose_home(n);
            }
        }
        self.steward(n);
        self.look_at_markers(n);
        self.gateway_soon(n, 1, 50, Job::Act(view));
    }

    /// As `was::healing`: the routes of a shard with another marker than before are written again.
    fn look_at_markers(&mut self, n: usize) {
        let users: Vec<UserId> = self.devices.iter().map(|device| device.user).collect();
        let mut lost: Vec<Shard> = Vec::new();
        for shard in users.into_iter().map(Shard::of) {
            let fresh = self.number();
            let marker = self.redis.marker(shard, fresh, self.now);
            if self.gateways[n].markers.insert(shard, marker) != Some(marker) {
                lost.push(shard);
            }
        }
        let Some(held) = self.gateways[n].held else {
            // Without a home there are no routes to be written; the next claim writes all of them.
            return;
        };
        let sessions = self.gateways[n].sessions.iter();
        let theirs = sessions.filter(|(_, session)| lost.contains(&Shard::of(session.user)));
        let theirs: Vec<Address> = theirs.map(|(address, _)| *address).collect();
        for address in theirs {
            self.session(n, address, Input::Rebuild(held.home));
        }
    }

    pub(super) fn lose_home(&mut self, n: usize) {
        self.note(format!("{} has lost its home", gateway_name(n)));
        if let Some(held) = self.gateways[n].held {
            self.stop_reading(n, held.home);
        }
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

    pub(super) fn act(&mut self, n: usize, view: &View) {
        if self.gateways[n].held.is_some() || self.away.redis > self.now {
            return;
        }
        let Gateway { had, highest, .. } = self.gateways[n];
        let name = gateway_name(n);
        let ordinal = i32::try_from(n).ok().filter(|_| self.ordinals);
        let me = Me {
            name: &name,
            held: &[],
            highest,
            want: Want::One {
                preferred: had.or(ordinal.map(|n| Home(n + 1))),
            },
        };
        let now = Duration::from_millis(self.now);
        let grace_left = view.grace_left.saturating_sub(now - view.table.read_at);
        let actions = match grace_left.is_zero() {
            true => decide(&view.table, &me, now),
            false => decide_in_grace(&view.table, &me, had, now),
        };
        for action in actions {
            let Action::Claim(home) = action else {
                continue;
            };
            let newcomer = !is_former(&view.table, &me, had, home);
            let claimed = self.redis.claim(home, n, highest, newcomer, self.now);
            let Some(incarnation) = claimed else {
                continue;
            };
            self.note(format!("{name} has home {home} as {incarnation}"));
            self.moved = self.now;
            self.only_holder(n, home, incarnation, newcomer);
            let next = self.committed.get(index(home)).copied().unwrap_or(0);
            let gateway = &mut self.gateways[n];
            gateway.highest = gateway.highest.max(incarnation);
            gateway.had = Some(home);
            let held = Held {
                home,
                incarnation,
                until: self.now + LEASE,
            };
            // It may have been its steward.
            self.stop_reading(n, home);
            self.gateways[n].held = Some(held);
            self.begin_reading(n, home, next);
            self.rebuild(n, held);
        }
    }

    /// I6: nobody else who lives holds the home, but for a lease after Redis has forgotten claims; and
    /// when it has forgotten all, never by one that had not held the home before (trap 9).
    fn only_holder(&mut self, n: usize, home: Home, incarnation: i64, newcomer: bool) {
        let lately = |at: Option<u64>| at.is_some_and(|at| self.now < at + LEASE);
        let excused = lately(self.redis.emptied) && !newcomer || lately(self.redis.failed_over);
        let mut others = self
            .gateways
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != n);
        let other = others.any(|(_, gateway)| {
            gateway.life.up
                && gateway.held.is_some_and(|held| {
                    held.home == home
                        && (held.until > self.now && !excused || held.incarnation == incarnation)
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
            let hers = self.gateways[n].readers.contains_key(&home);
            if hers || home == BROADCAST {
                self.gateway_soon(n, 1, 8, Job::Read);
            }
        }
    }
}
