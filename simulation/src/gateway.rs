//! A gateway: the real session machine and the real choice of a home; around them, as plain data, what
//! `was::registry`, `was::routes` and `was::socket` do.

mod hand_on;
mod home;
mod reader;

use std::collections::BTreeMap;
use std::time::Duration;

use classifier::ports::Outgoing;
use protocol::{
    Address, ClientFrame, CloseCode, DeliveryHeaders, Home, Limits, MessageId, ServerFrame, UserId,
};
use routing::decide::View;
use routing::{Route, Shard};
use was::session::{Answer, Hello, Input, Output, Query, Rules, Session, Writing, Written};

pub use hand_on::without_value;
use reader::Reader;
use was::custody::{Batch, Round, Ticket};

use crate::catch_up::catch_up;
use crate::frames::seen;
use crate::switches::Without;
use crate::world::{Down, Event, Life, Server, Up, World};

const BEAT: u64 = 500;
/// How long sessions wait for a home when theirs was lost, in ms.
const HOMELESS: u64 = 1_000;

/// What a gateway does at a moment.
#[derive(Debug)]
pub enum Job {
    /// Renews its home and reads the table.
    Beat,
    /// Acts on the table that it read.
    Act(View),
    /// Reads its home, and those that it stewards.
    Read,
    /// A round of a home's reader ends.
    Turn(Home, u64),
    /// Hands on what nobody here can confirm.
    HandOn(Home, u64, Batch),
    /// That is acknowledged.
    Handed(Home, u64, Ticket),
    /// A session's deadline.
    Tick(Address),
    /// What became of a session's route, under which claim.
    RouteWritten(Address, i64, Written),
    /// The answer to a session's query.
    Answered(Address, u32, Option<Answer>),
    /// Kafka has a command, or it is not known.
    Produced(Address, MessageId, bool),
    /// Sessions that still have no home come back elsewhere.
    SendAway,
    /// A session of the same device is newer.
    Replaced(Address),
}

/// The home that a gateway believes to hold.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    home: Home,
    incarnation: i64,
    /// By its own clock.
    until: u64,
}

/// A session and where it ends.
#[derive(Debug)]
pub struct Connected {
    session: Session,
    user: UserId,
    device: usize,
    connection: u64,
    route: Route,
    /// The claim under which its route was last acknowledged.
    stands: i64,
    /// Records of the home reach it.
    registered: bool,
    tick: u64,
}

/// One gateway.
#[derive(Debug, Default)]
pub struct Gateway {
    /// Its run.
    pub life: Life,
    held: Option<Held>,
    /// The home held last: the one to take again if Redis has forgotten.
    had: Option<Home>,
    highest: i64,
    /// Who reads which home here.
    readers: BTreeMap<Home, Reader>,
    /// Above every round of a reader that has ended.
    rounds: Round,
    /// The table of homes as it was read last.
    view: Option<View>,
    /// Where it is in the partition that all read.
    broadcast: usize,
    /// The markers as it knows them.
    markers: BTreeMap<Shard, u64>,
    sessions: BTreeMap<Address, Connected>,
}

/// What sessions go by here: the programs' defaults, but for shorter audits, or none.
pub fn rules(audits: bool, without: Option<Without>) -> Rules {
    let never = Duration::from_secs(3_600);
    let (audit_least, audit_most) = match audits {
        true => (Duration::from_secs(6), Duration::from_secs(10)),
        false => (never, never),
    };
    Rules {
        was: "was".to_owned(),
        greet_within: Duration::from_secs(5),
        ping_every: Duration::from_secs(2),
        settle_after: match without {
            Some(Without::Settle) => never,
            _ => routing::ROUTE_CACHE + Duration::from_millis(500),
        },
        audit_least,
        audit_most,
        retry_after: Duration::from_secs(1),
        held_frames: 16,
        held_bytes: 1_000_000,
        cursors: 100,
        errors: 3,
        limits: Limits {
            body_chars: 100_000,
            body_bytes: 400_000,
            frame_bytes: 1_310_720,
            rate_per_second: 20,
            rate_burst: 100,
            replay_room: 300,
            replay_total: 1_000,
        },
    }
}

impl Gateway {
    /// Takes new sockets, if it is asked now.
    pub fn serves(&self, now: u64) -> bool {
        self.life.up
            && self.life.paused_until <= now
            && self.held.is_some_and(|held| held.until > now)
    }

    /// As far as it knows, the route of this session stands and leads to its home.
    pub fn routes_stand(&self, session: Address, now: u64) -> bool {
        let stands = self.sessions.get(&session).map(|there| there.stands);
        let held = self.held.filter(|held| held.until > now);
        held.is_some_and(|held| stands == Some(held.incarnation))
    }
}

impl World {
    /// Starts a gateway; its life before is over.
    pub fn start_gateway(&mut self, n: usize) {
        let number = self.number();
        let life = Life {
            number,
            up: true,
            paused_until: 0,
        };
        self.gateways[n] = Gateway {
            life,
            // The end, as a number, before its first session.
            broadcast: self.homes[0].len(),
            ..Gateway::default()
        };
        self.gateway_soon(n, 1, 100, Job::Beat);
    }

    /// Ends a gateway at once: its sockets are reset.
    pub fn kill_gateway(&mut self, n: usize) {
        self.gateways[n].life.up = false;
        for (_, connected) in std::mem::take(&mut self.gateways[n].sessions) {
            self.after(1, 20, Event::Down(connected.connection, Down::Closed));
        }
        let hers = self.connections.iter().filter(|(_, c)| c.gateway == n);
        let hers: Vec<u64> = hers.map(|(number, _)| *number).collect();
        for connection in hers {
            self.after(1, 20, Event::Down(connection, Down::Closed));
        }
    }

    /// Ends a gateway in order: sessions are sent away, the home is given back.
    pub fn stop_gateway(&mut self, n: usize) {
        for address in self.addresses(n) {
            self.session(n, address, Input::Drain(100));
        }
        if let Some(held) = self.gateways[n].held.take()
            && self.away.redis <= self.now
        {
            self.redis.release(held.home, n, held.incarnation, self.now);
        }
        self.kill_gateway(n);
    }

    /// Lets its reader begin anew, some records before where the one before it left off.
    pub fn reread_home(&mut self, n: usize, records: usize) {
        let Some(Held { home, .. }) = self.gateways[n].held else {
            return;
        };
        // Whatever was committed before counts again.
        let from = self.committed[index(home)];
        self.stop_reading(n, home);
        self.begin_reading(n, home, from.saturating_sub(records));
    }

    fn gateway_soon(&mut self, n: usize, least: u64, end: u64, job: Job) {
        let life = self.gateways[n].life.number;
        self.after(least, end, Event::Gateway(n, life, job));
    }

    /// Carries out a job.
    pub fn gateway_does(&mut self, n: usize, job: Job) {
        match job {
            Job::Beat => self.beat(n),
            Job::Act(view) => self.act(n, &view),
            Job::Read => self.read(n),
            Job::Turn(home, number) => self.turn(n, home, number),
            Job::HandOn(home, number, batch) => self.hand_on(n, home, number, batch),
            Job::Handed(home, number, ticket) => self.handed(n, home, number, ticket),
            Job::Tick(address) => {
                if let Some(connected) = self.gateways[n].sessions.get_mut(&address) {
                    connected.tick = u64::MAX;
                    if let Some(present) = self.gateways[n].present() {
                        self.session(n, address, Input::Turned(present));
                    }
                    self.session(n, address, Input::Tick);
                }
            }
            Job::RouteWritten(address, claim, written) => {
                if written != Written::Failed
                    && let Some(connected) = self.gateways[n].sessions.get_mut(&address)
                {
                    connected.stands = claim;
                }
                self.session(n, address, Input::RouteWritten(written));
            }
            Job::Answered(address, number, answer) => {
                self.session(n, address, Input::Answered { number, answer });
            }
            Job::Produced(address, id, taken) => {
                self.session(n, address, Input::Produced(id, taken));
            }
            Job::SendAway => self.send_away(n),
            Job::Replaced(address) => self.session(n, address, Input::End(CloseCode::Replaced)),
        }
    }

    /// Something reaches the gateway's end of a connection.
    pub fn up(&mut self, number: u64, up: Up) {
        let Some(connection) = self.connections.get(&number).copied() else {
            return;
        };
        let (n, address) = (connection.gateway, connection.session);
        let life = self.gateways[n].life;
        if !life.up || life.number != connection.life {
            return;
        }
        if life.paused_until > self.now {
            return self.at(life.paused_until, Event::Up(number, up));
        }
        match up {
            Up::Frame(ClientFrame::Hello { cursors, .. }) => {
                let Some(held) = self.gateways[n].held.filter(|held| held.until > self.now) else {
                    return self.after(1, 10, Event::Down(number, Down::Closed));
                };
                let device = &self.devices[connection.device];
                let (user, seed) = (device.user, self.chance.next());
                let session = Session::new(address, seed, self.session_now(), &self.rules);
                let route = Route {
                    home: held.home,
                    incarnation: held.incarnation,
                    session: address,
                };
                let connected = Connected {
                    session,
                    user,
                    device: connection.device,
                    connection: number,
                    route,
                    stands: 0,
                    registered: false,
                    tick: u64::MAX,
                };
                self.gateways[n].sessions.insert(address, connected);
                let hello = Hello {
                    user,
                    home: held.home,
                    cursors: cursors.into_iter().collect(),
                };
                self.session(n, address, Input::Hello(hello));
            }
            Up::Frame(frame) => self.session(n, address, Input::Frame(frame, Ok(()))),
            Up::Pong(count) => self.session(n, address, Input::Pong(count)),
            Up::Gone => self.end_session(n, address),
        }
    }

    /// One input of a session, and what follows from it.
    fn session(&mut self, n: usize, address: Address, input: Input) {
        let now = self.session_now();
        let Some(connected) = self.gateways[n].sessions.get_mut(&address) else {
            return;
        };
        let mut out = Vec::new();
        connected.session.step(input, now, &self.rules, &mut out);
        for output in out {
            self.carry_out(n, address, output);
        }
        let life = self.gateways[n].life.number;
        let base = self.instant(0);
        if let Some(connected) = self.gateways[n].sessions.get_mut(&address) {
            let deadline = connected.session.deadline().saturating_duration_since(base);
            let due = u64::try_from(deadline.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
            if due < connected.tick {
                connected.tick = due;
                self.at(due, Event::Gateway(n, life, Job::Tick(address)));
            }
        }
    }

    fn carry_out(&mut self, n: usize, address: Address, output: Output) {
        let life = self.gateways[n].life.number;
        let Some(connected) = self.gateways[n].sessions.get_mut(&address) else {
            return;
        };
        let (user, connection) = (connected.user, connected.connection);
        match output {
            Output::Deliver(frame) => {
                if let Some(seen) = seen(&frame) {
                    let delivered = self.truth.delivered(user, seen);
                    self.check(delivered);
                }
                self.send_down(connection, Down::Frame(frame));
            }
            Output::Send(frame) => self.send_down(connection, Down::Frame(frame)),
            Output::Ping(count) => self.send_down(connection, Down::Ping(count)),
            Output::Confirmed { upto, .. } => self.gateways[n].confirm(user, address, upto),
            Output::Register(_) => connected.registered = true,
            Output::WriteRoute(why) => {
                let first = why == Writing::First;
                if self.away.redis > self.now {
                    let failed = Job::RouteWritten(address, 0, Written::Failed);
                    return self.gateway_soon(n, 50, 500, failed);
                }
                let write = Server::WriteRoute(n, life, address, first);
                self.after(1, 15, Event::Server(write));
            }
            Output::Query(query) => {
                let long = if self.mishap(10) { 600 } else { 20 };
                let snapshot = Server::Snapshot(n, life, address, query);
                self.after(1, long, Event::Server(snapshot));
            }
            Output::Produce(command) => {
                let away = self.away.kafka > self.now;
                let (taken, told) = match away || self.mishap(20) {
                    true => (self.chance.one_in(2), false),
                    false => (true, true),
                };
                if taken {
                    self.append_to_lane(&command);
                }
                let produced = Job::Produced(address, command.id, told);
                match told {
                    true => self.gateway_soon(n, 1, 20, produced),
                    false => self.gateway_soon(n, 300, 2_000, produced),
                }
            }
            Output::Close(_) => self.end_session(n, address),
            Output::Signal(_)
            | Output::Seen
            | Output::Gap
            | Output::HeldOverflow
            | Output::Refused(_)
            | Output::Audited(_) => {}
        }
    }

    fn end_session(&mut self, n: usize, address: Address) {
        let Some(connected) = self.gateways[n].sessions.remove(&address) else {
            return;
        };
        self.send_down(connected.connection, Down::Closed);
        if connected.registered {
            self.orphan(n, connected.user, address);
            let remove = Server::RemoveRoute(connected.user, connected.device, address);
            self.after(1, 30, Event::Server(remove));
        }
    }

    /// A session's route reaches Redis.
    pub fn route_arrives(&mut self, n: usize, life: u64, address: Address, first: bool) {
        let Some(connected) = self.gateways[n].sessions.get(&address) else {
            return;
        };
        let (user, device, route) = (connected.user, connected.device, connected.route);
        let (older, written) = match first {
            true => (self.redis.write(user, device, route), Written::Stands),
            false => match self.redis.restore(user, device, route) {
                Ok(false) => (None, Written::Stands),
                Ok(true) => (None, Written::Restored),
                Err(_) => {
                    let replaced = Job::Replaced(address);
                    return self.after(1, 15, Event::Gateway(n, life, replaced));
                }
            },
        };
        if let Some(older) = older {
            let evict = ServerFrame::Evict { by: address };
            self.publish(Outgoing {
                sink: classifier::ports::Sink::Home(older.home),
                key: None,
                headers: DeliveryHeaders::answer(older.session).encode(),
                payload: Some(evict.encode()),
                trace: None,
            });
        }
        // The answer may be lost on its way.
        let written = match self.mishap(40) {
            true => Written::Failed,
            false => written,
        };
        let job = Job::RouteWritten(address, route.incarnation, written);
        self.after(1, 15, Event::Gateway(n, life, job));
    }

    /// Postgres answers a session's query as of now.
    pub fn snapshot(&mut self, n: usize, life: u64, address: Address, query: &Query) {
        let fails = self.away.postgres > self.now || self.mishap(40);
        let Some(connected) = self.gateways[n].sessions.get(&address) else {
            return;
        };
        let answer = (!fails).then(|| catch_up(&self.postgres.tables(), connected.user, query));
        let long = if self.mishap(10) { 600 } else { 20 };
        let answered = Job::Answered(address, query.number, answer);
        self.after(1, long, Event::Gateway(n, life, answered));
    }
}

/// A home's place in a list.
pub fn index(home: Home) -> usize {
    usize::try_from(home.0).unwrap_or(0)
}
