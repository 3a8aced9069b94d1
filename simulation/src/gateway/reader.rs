//! Whoever reads a home, its owner or its steward: by the real `Custody`, as `was::registry` and
//! `was::steward` do it around it.

use std::time::Duration;

use classifier::ports::Outgoing;
use protocol::{Address, CloseCode, DeliveryHeaders, Home, RoomId, Seq, Target, UserId};
use was::custody::{Capacity, Custody, Orphan, Round};
use was::session::{Input, Output};

use super::{Gateway, Job, index};
use crate::redis::gateway_name;
use crate::switches::Without;
use crate::world::{BROADCAST, World};

/// How long a round is, in ms.
const ROUND: u64 = 1_000;

/// One reader of one home.
#[derive(Debug)]
pub struct Reader {
    /// Its number: what is said to one before it is void.
    pub number: u64,
    /// Its duty.
    pub custody: Custody,
    next: usize,
    /// Orphans are being handed on.
    pub busy: bool,
}

impl Gateway {
    /// Whoever reads `home` here.
    pub fn reader(&mut self, home: Home) -> Option<&mut Reader> {
        self.readers.get_mut(&home)
    }

    /// A session's client has received all up to a round.
    pub fn confirm(&mut self, user: UserId, address: Address, upto: Round) {
        if let Some(reader) = self.held.and_then(|held| self.readers.get_mut(&held.home)) {
            reader.custody.confirm(user, address, upto);
        }
    }

    /// The round of the records of its own home.
    pub fn present(&self) -> Option<Round> {
        let held = self.held?;
        let reader = self.readers.get(&held.home)?;
        Some(reader.custody.present())
    }
}

impl World {
    /// Begins to read a home where the last reader left off.
    pub fn begin_reading(&mut self, n: usize, home: Home, at: usize) {
        let end = self.homes.get(index(home)).map_or(0, Vec::len);
        let number = self.number();
        let capacity = Capacity {
            records: 400,
            deliveries: 1_200,
        };
        let gateway = &mut self.gateways[n];
        // Above every round that a session knows of an earlier reader.
        gateway.rounds = gateway
            .rounds
            .max(gateway.present().unwrap_or_default())
            .next();
        let reader = Reader {
            number,
            custody: Custody::new(gateway.rounds, capacity),
            next: match self.without {
                Some(Without::FixedStart) => end,
                _ => at.min(end),
            },
            busy: false,
        };
        gateway.readers.insert(home, reader);
        self.gateway_soon(n, 1, 10, Job::Read);
        self.gateway_soon(n, ROUND, ROUND + 100, Job::Turn(home, number));
    }

    /// Nobody reads `home` here any more.
    pub fn stop_reading(&mut self, n: usize, home: Home) {
        let gateway = &mut self.gateways[n];
        if let Some(reader) = gateway.readers.remove(&home) {
            gateway.rounds = gateway.rounds.max(reader.custody.present());
        }
    }

    /// A session has ended.
    pub fn orphan(&mut self, n: usize, user: UserId, address: Address) {
        let Some(home) = self.gateways[n].held.map(|held| held.home) else {
            return;
        };
        if let Some(reader) = self.gateways[n].reader(home) {
            reader.custody.ended(&[(user, address)]);
            self.hand_on_soon(n, home);
        }
    }

    /// A round ends; who holds too much is asked.
    pub fn turn(&mut self, n: usize, home: Home, number: u64) {
        let reader = self.gateways[n].reader(home);
        let Some(reader) = reader.filter(|reader| reader.number == number) else {
            return;
        };
        let present = reader.custody.turn();
        let pressed = match reader.custody.is_pressed() {
            true => reader.custody.press(),
            false => Vec::new(),
        };
        for (_, address) in pressed {
            self.session(n, address, Input::Press(present));
        }
        self.gateway_soon(n, ROUND, ROUND + 100, Job::Turn(home, number));
        self.gateway_soon(n, 1, 5, Job::Read);
    }

    /// Reads what is there of all homes that are read here, and of the partition that all read.
    pub fn read(&mut self, n: usize) {
        while let Some(record) = self.homes[0].get(self.gateways[n].broadcast).cloned() {
            self.gateways[n].broadcast += 1;
            self.dispatch(n, BROADCAST, 0, record);
        }
        let homes: Vec<Home> = self.gateways[n].readers.keys().copied().collect();
        for home in homes {
            while let Some(reader) = self.gateways[n].reader(home) {
                let next = reader.next;
                let record = self.homes.get(index(home)).and_then(|log| log.get(next));
                let (Some(record), false) = (record.cloned(), self.is_full(n, home)) else {
                    break;
                };
                if let Some(reader) = self.gateways[n].reader(home) {
                    reader.next = next + 1;
                }
                self.dispatch(n, home, next, record);
            }
            self.hand_on_soon(n, home);
        }
    }

    fn is_full(&mut self, n: usize, home: Home) -> bool {
        let reader = self.gateways[n].reader(home);
        reader.is_none_or(|reader| reader.custody.is_full())
    }

    fn dispatch(&mut self, n: usize, home: Home, at: usize, record: Outgoing) {
        let headers = record
            .headers
            .iter()
            .map(|(name, value)| (*name, &value[..]));
        let Ok(headers) = DeliveryHeaders::decode(headers) else {
            return self.check(Err("a record of a home can't be read".to_owned()));
        };
        let offset = i64::try_from(at).unwrap_or(i64::MAX);
        let mine = self.gateways[n].held.is_some_and(|held| held.home == home);
        let frame = record.payload;
        match headers.target {
            Target::Session(address) if mine => {
                let frame = frame.unwrap_or_default();
                if frame.starts_with(br#"{"type":"evict""#) {
                    self.session(n, address, Input::End(CloseCode::Replaced));
                } else {
                    self.session(n, address, Input::Direct(frame));
                }
            }
            Target::Users(users) => {
                let (Some(room), Some(seq)) = (headers.room, headers.seq) else {
                    return;
                };
                let here = mine || headers.blind;
                let mut held = Vec::new();
                for user in users {
                    let addresses = match here {
                        true => self.sessions_of(n, user),
                        false => Vec::new(),
                    };
                    let reader = self.gateways[n].readers.get_mut(&home);
                    if addresses.is_empty()
                        && !headers.blind
                        && let Some(reader) = reader
                    {
                        let orphan = Orphan { user, room, seq };
                        reader.custody.absent(offset, orphan);
                    }
                    for address in addresses {
                        let round = match headers.blind {
                            true => None,
                            false => self.wrote(n, home, offset, (user, address), (room, seq)),
                        };
                        if round.is_some() && !held.contains(&user) {
                            held.push(user);
                        }
                        let live = Input::Live {
                            room,
                            seq,
                            frame: frame.clone(),
                            round,
                        };
                        self.session(n, address, live);
                    }
                }
                if let Some(reader) = self.gateways[n].reader(home) {
                    reader.custody.record(offset, room, seq, held);
                }
                return;
            }
            Target::Session(_) => {}
        }
        if let Some(reader) = self.gateways[n].reader(home) {
            reader.custody.passed(offset);
        }
    }

    fn sessions_of(&self, n: usize, user: UserId) -> Vec<Address> {
        let sessions = self.gateways[n].sessions.iter();
        let here = sessions.filter(|(_, session)| session.user == user && session.registered);
        here.map(|(address, _)| *address).collect()
    }

    /// A record is about to be queued for a session: the round that takes it.
    fn wrote(
        &mut self,
        n: usize,
        home: Home,
        offset: i64,
        holder: (UserId, Address),
        event: (RoomId, Seq),
    ) -> Option<Round> {
        if self.without == Some(Without::SeenRounds) && self.has_seen(n, holder.1, event) {
            return None;
        }
        let reader = self.gateways[n].reader(home)?;
        reader.custody.wrote(offset, holder.0, holder.1);
        Some(reader.custody.present())
    }

    /// Whether the session would drop the event as seen already.
    fn has_seen(&self, n: usize, address: Address, (room, seq): (RoomId, Seq)) -> bool {
        let Some(connected) = self.gateways[n].sessions.get(&address) else {
            return false;
        };
        let (mut session, mut out) = (connected.session.clone(), Vec::new());
        let live = Input::Live {
            room,
            seq,
            frame: None,
            round: None,
        };
        session.step(live, self.session_now(), &self.rules, &mut out);
        out.iter().any(|output| matches!(output, Output::Seen))
    }

    /// Stewards what the table says, and nothing else.
    pub fn steward(&mut self, n: usize) {
        let Gateway { view, held, .. } = &self.gateways[n];
        let (name, now) = (gateway_name(n), Duration::from_millis(self.now));
        let wanted = view.as_ref().map(|view| view.stewarded_by(&name, now));
        let wanted = wanted.unwrap_or_default();
        let own = held.map(|held| held.home);
        let readers = self.gateways[n].readers.keys().copied();
        let others: Vec<Home> = readers.filter(|home| Some(*home) != own).collect();
        for home in others {
            self.commit_home(n, home);
            if !wanted.contains(&home) {
                self.stop_reading(n, home);
            }
        }
        for home in wanted {
            if !self.gateways[n].readers.contains_key(&home) && Some(home) != own {
                self.note(format!("{name} stewards home {home}"));
                let at = self.committed[index(home)];
                self.begin_reading(n, home, at);
            }
        }
    }

    /// Commits how far this reader's duty is done. I8: what is behind it is.
    pub fn commit_home(&mut self, n: usize, home: Home) {
        let reader = self.gateways[n].reader(home);
        let next = reader.and_then(|reader| reader.custody.committable());
        let Some(next) = next.and_then(|next| usize::try_from(next).ok()) else {
            return;
        };
        let from = self.committed[index(home)];
        let steward = self.gateways[n].held.is_none_or(|held| held.home != home);
        if steward && next <= from {
            return;
        }
        self.committed[index(home)] = next;
        for at in from..next {
            let done = self.is_done(home, at);
            self.check(done);
        }
    }

    /// I8: each recipient of a record has seen it, or it was handed on, or given to who pushes.
    fn is_done(&self, home: Home, at: usize) -> Result<(), String> {
        let record = self.homes.get(index(home)).and_then(|log| log.get(at));
        let headers = record.iter().flat_map(|record| &record.headers);
        let headers = DeliveryHeaders::decode(headers.map(|(name, value)| (*name, &value[..])));
        let Ok(DeliveryHeaders {
            room: Some(room),
            seq: Some(seq),
            target: Target::Users(users),
            ..
        }) = headers
        else {
            return Ok(());
        };
        // What was seen may be gone, and the device's cursor lowered.
        for user in users.into_iter().filter(|_| !self.forgets) {
            let mut devices = self.devices.iter().filter(|device| device.user == user);
            let seen = devices.any(|device| device.cursors.get(&room) >= Some(&seq));
            let handed = self.truth.handed.get(&(user, room, seq));
            let mut handed = handed.into_iter().flatten();
            if !seen && !handed.any(|to| *to != Some((home, at))) {
                return Err(format!(
                    "I8: nobody has {room}:{seq} of home {home} in custody for user {user}"
                ));
            }
        }
        Ok(())
    }
}
