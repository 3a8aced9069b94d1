//! The world of one run: time, what is under way, and who is there.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use classifier::ports::{Incoming, Outgoing};
use protocol::{Address, ClientFrame, Command, Home, Lane, PushRecord, UserId, lane_of};
use routing::Route;
use store::Batch;
use was::session::{Now, Query, Rules};

use crate::chance::Chance;
use crate::classifier::{Classifier, Job as ClassifierJob};
use crate::device::{Connection, Device};
use crate::gateway::{Gateway, Job as GatewayJob, rules};
use crate::postgres::{Postgres, Tables};
use crate::redis::Redis;
use crate::switches::Without;
use crate::truth::Truth;

/// Lanes of `chat-send`.
pub const LANES: i32 = 3;
/// Homes of `chat-receive`: one more than there are gateways.
pub const HOMES: i32 = 4;
/// The partition of `chat-receive` that all gateways read.
pub const BROADCAST: Home = Home(protocol::BROADCAST);
/// Lines of the trace that a failure shows.
const KEPT: usize = 60;

/// What happens at a moment.
#[derive(Debug)]
pub enum Event {
    /// Something breaks.
    Fault,
    /// Somebody says something, joins or leaves.
    Talk,
    /// A device tries to connect.
    Connect(usize),
    /// A device is left behind for good.
    Leave(usize),
    /// A device looks at its outbox.
    Outbox(usize),
    /// Something reaches the client's end of a connection.
    Down(u64, Down),
    /// Something reaches the gateway's end of a connection.
    Up(u64, Up),
    /// A gateway does something; in the life named.
    Gateway(usize, u64, GatewayJob),
    /// A classifier does something; in the life named.
    Classifier(usize, u64, ClassifierJob),
    /// Something arrives at a server, whether its sender still lives or not.
    Server(Server),
}

/// To a client.
#[derive(Debug)]
pub enum Down {
    /// A frame.
    Frame(Bytes),
    /// A ping, and its count.
    Ping(u64),
    /// The end of the connection.
    Closed,
}

/// To a gateway.
#[derive(Debug)]
pub enum Up {
    /// A frame.
    Frame(ClientFrame),
    /// A pong, and its ping's count.
    Pong(u64),
    /// The end of the connection.
    Gone,
}

/// To a server.
#[derive(Debug)]
pub enum Server {
    /// A session's route, of the gateway in its life.
    WriteRoute(usize, u64, Address, bool),
    /// A session that has ended removes its route.
    RemoveRoute(UserId, usize, Address),
    /// Routes that a reader found dead.
    Prune(UserId, Vec<Route>),
    /// The snapshot of a session's query.
    Snapshot(usize, u64, Address, Query),
    /// A classifier's look-up of routes, issued then.
    Routes(usize, u64, Vec<UserId>, u64),
    /// A classifier's append; and whether its answer gets through.
    Append(usize, u64, Box<Batch>, bool),
    /// A record for a home that was long under way, sent by the classifier in its life.
    Publish(usize, u64, Outgoing),
    /// A record of `chat-push` is due.
    Push(PushRecord),
    /// Postgres goes on without its last commits.
    Restore(Box<Tables>),
    /// Redis goes on with an older copy of its memory.
    FailOver(Box<Redis>),
}

/// Whether a process runs, and which run of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Life {
    /// The number of the run.
    pub number: u64,
    /// It runs.
    pub up: bool,
    /// It stands still until then.
    pub paused_until: u64,
}

/// The times until which servers don't answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Away {
    /// Redis.
    pub redis: u64,
    /// Postgres.
    pub postgres: u64,
    /// Kafka's producers get no acknowledgement.
    pub kafka: u64,
}

/// One run.
pub struct World {
    /// Simulated ms.
    pub now: u64,
    /// What has happened so far.
    pub steps: u64,
    /// All randomness.
    pub chance: Chance,
    /// The rule that is missing.
    pub without: Option<Without>,
    /// Sessions audit, and routes get lost behind everybody's back; else the settle has to do.
    pub audits: bool,
    /// Postgres loses its last commits now and then, as a failover without a synchronous standby does. The
    /// cursors of devices that have seen them are lowered, so that custody can't be checked against these.
    pub forgets: bool,
    /// Gateways prefer the home of their ordinal; else the lowest that is free.
    pub ordinals: bool,
    /// What sessions go by.
    pub rules: Rules,
    /// Kafka: the lanes.
    pub lanes: Vec<Vec<Incoming>>,
    /// Kafka: the homes; the first is partition 0.
    pub homes: Vec<Vec<Outgoing>>,
    /// Kafka: where each home's reader left off.
    pub committed: Vec<usize>,
    /// Postgres.
    pub postgres: Postgres,
    /// Redis.
    pub redis: Redis,
    /// What is away.
    pub away: Away,
    /// The gateways.
    pub gateways: Vec<Gateway>,
    /// The classifiers.
    pub classifiers: Vec<Classifier>,
    /// The users' devices.
    pub devices: Vec<Device>,
    /// Connections, by number.
    pub connections: BTreeMap<u64, Connection>,
    /// What is checked against.
    pub truth: Truth,
    /// Faults are over.
    pub calm: bool,
    /// When an owner of a lane or home changed last, in ms.
    pub moved: u64,
    broken: Option<String>,
    base: Instant,
    due: BTreeMap<(u64, u64), Event>,
    numbers: u64,
    hash: u64,
    trace: VecDeque<(u64, u64, String)>,
}

impl World {
    /// Nothing has happened yet.
    pub fn new(seed: u64, without: Option<Without>) -> Self {
        let mut chance = Chance::new(seed);
        let (audits, forgets) = (chance.one_in(2), chance.one_in(4));
        let ordinals = chance.one_in(2);
        let postgres = Postgres::new(LANES);
        postgres.tables().checks_applied = without != Some(Without::Applied);
        let homes = usize::try_from(HOMES).unwrap_or(0) + 1;
        Self {
            // Claims are numbered by the clock: not from zero, as none is.
            now: 1_000_000,
            steps: 0,
            chance,
            without,
            audits,
            forgets,
            ordinals,
            rules: rules(audits, without),
            lanes: vec![Vec::new(); usize::try_from(LANES).unwrap_or(0)],
            homes: vec![Vec::new(); homes],
            committed: vec![0; homes],
            postgres,
            redis: Redis::new(without),
            away: Away::default(),
            gateways: Vec::new(),
            classifiers: Vec::new(),
            devices: Vec::new(),
            connections: BTreeMap::new(),
            truth: Truth::default(),
            calm: false,
            moved: 0,
            broken: None,
            base: Instant::now(),
            due: BTreeMap::new(),
            numbers: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            trace: VecDeque::new(),
        }
    }

    /// The time as sessions take it.
    pub fn session_now(&self) -> Now {
        Now {
            tick: self.instant(self.now),
            wall_ms: i64::try_from(self.now).unwrap_or(i64::MAX),
        }
    }

    /// A simulated time as an instant.
    pub fn instant(&self, ms: u64) -> Instant {
        self.base + Duration::from_millis(ms)
    }

    /// An instant as a simulated time, rounded up.
    pub fn ms_of(&self, instant: Instant) -> u64 {
        let time = instant.saturating_duration_since(self.base);
        let ms = u64::try_from(time.as_nanos().div_ceil(1_000_000));
        ms.unwrap_or(u64::MAX)
    }

    /// A number that was never given out before.
    pub const fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// A UUID that was never given out before.
    pub fn uuid(&mut self) -> uuid::Uuid {
        uuid::Uuid::from_u128(u128::from(self.number()))
    }

    /// Whether something goes wrong that does once in `n` times, as long as things go wrong at all.
    pub fn mishap(&mut self, n: u64) -> bool {
        self.chance.one_in(n) && !self.calm
    }

    /// Lets something happen at a time; what has the same time happens in the order it was said.
    pub fn at(&mut self, time: u64, event: Event) {
        let number = self.number();
        self.due.insert((time.max(self.now), number), event);
    }

    /// Lets something happen after `least` to `end` ms.
    pub fn after(&mut self, least: u64, end: u64, event: Event) {
        let time = self.now + self.chance.between(least, end);
        self.at(time, event);
    }

    /// Notes a line of the trace.
    pub fn note(&mut self, line: String) {
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.trace.len() == KEPT {
            self.trace.pop_front();
        }
        self.trace
            .push_back((self.now - 1_000_000, self.steps, line));
    }

    /// A check failed, or did not.
    pub fn check(&mut self, result: Result<(), String>) {
        if let Err(broken) = result {
            self.broken.get_or_insert(broken);
        }
    }

    /// What was found broken.
    pub fn broken(&self) -> Option<&String> {
        self.broken.as_ref()
    }

    /// The hash of the whole trace, and its last lines.
    pub fn trace(&self) -> (u64, Vec<String>) {
        let lines = self.trace.iter();
        let lines = lines.map(|(at, step, line)| format!("{at:>6} ms  step {step:>6}  {line}"));
        (self.hash, lines.collect())
    }

    /// Puts a command into its lane and wakes who reads it.
    pub fn append_to_lane(&mut self, command: &Command) {
        let Lane(lane) = lane_of(command.room, LANES);
        let Some(log) = usize::try_from(lane)
            .ok()
            .and_then(|n| self.lanes.get_mut(n))
        else {
            return;
        };
        let offset = i64::try_from(log.len()).unwrap_or(i64::MAX);
        log.push(Incoming {
            offset,
            key: Some(Bytes::from(command.key())),
            payload: Some(Bytes::from(command.encode())),
            trace: None,
        });
        self.truth.produced(command, offset);
        self.note(format!(
            "lane {lane} offset {offset}: {} {}",
            command.kind.event_kind(),
            command.id
        ));
        for n in 0..self.classifiers.len() {
            self.classifier_soon(n, 1, 6, ClassifierJob::Work);
        }
    }

    /// Runs until `end`, or until something is broken.
    pub fn run_until(&mut self, end: u64) {
        while self.broken.is_none() {
            let Some(first) = self.due.first_entry() else {
                break;
            };
            if first.key().0 > end {
                break;
            }
            let ((time, _), event) = first.remove_entry();
            self.now = time;
            self.postgres.tables().now = time;
            self.steps += 1;
            self.happens(event);
        }
        if self.broken.is_none() {
            self.now = self.now.max(end);
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Fault => self.fault(),
            Event::Talk => self.talk(),
            Event::Connect(device) => self.connect(device),
            Event::Leave(device) => self.leave(device),
            Event::Outbox(device) => self.outbox(device),
            Event::Down(connection, down) => self.down(connection, down),
            Event::Up(connection, up) => self.up(connection, up),
            Event::Gateway(n, life, job) => {
                if let Some(job) = self.lives(self.gateways[n].life, life, job, |job| {
                    Event::Gateway(n, life, job)
                }) {
                    self.gateway_does(n, job);
                }
            }
            Event::Classifier(n, life, job) => {
                if let Some(job) = self.lives(self.classifiers[n].life, life, job, |job| {
                    Event::Classifier(n, life, job)
                }) {
                    self.classifier_does(n, job);
                }
            }
            Event::Server(server) => self.server(server),
        }
    }

    /// The job, unless its process is gone, or stands still: then it is done later.
    fn lives<J>(
        &mut self,
        now: Life,
        then: u64,
        job: J,
        again: impl FnOnce(J) -> Event,
    ) -> Option<J> {
        if !now.up || now.number != then {
            return None;
        }
        if now.paused_until > self.now {
            self.at(now.paused_until, again(job));
            return None;
        }
        Some(job)
    }

    fn server(&mut self, server: Server) {
        match server {
            Server::WriteRoute(n, life, address, first) => {
                self.route_arrives(n, life, address, first);
            }
            Server::RemoveRoute(user, device, session) => {
                if self.away.redis <= self.now {
                    self.redis.remove(user, device, session);
                }
            }
            Server::Prune(user, dead) => {
                if self.without == Some(Without::Compare) {
                    self.redis.forget(user);
                } else {
                    self.redis.prune(user, &dead);
                }
            }
            Server::Snapshot(n, life, address, query) => self.snapshot(n, life, address, &query),
            Server::Routes(n, life, users, issued) => self.routes_read(n, life, users, issued),
            Server::Append(n, life, batch, answered) => {
                self.append_arrives(n, life, &batch, answered);
            }
            Server::Publish(n, life, record) => {
                // What a dead producer had not sent yet is not sent.
                let now = self.classifiers[n].life;
                if now.up && now.number == life {
                    self.publish(record);
                }
            }
            Server::Push(record) => self.push_due(record),
            Server::Restore(tables) => {
                self.note("postgres: the last commits are gone".to_owned());
                let now = self.now;
                let mut there = self.postgres.tables();
                *there = *tables;
                there.now = now;
            }
            Server::FailOver(copy) => {
                self.note("redis: an older copy takes over".to_owned());
                self.redis = *copy;
                self.redis.failed_over = Some(self.now);
            }
        }
    }
}
