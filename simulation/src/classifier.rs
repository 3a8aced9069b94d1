//! A classifier: the real decision about a batch (`decide_batch`, with what it reads), the real records for
//! homes (`deliver`), the real cache of routes and the real choice of lanes; around them, as plain data, what
//! `pipeline::worker`, `route`, `settle` and `owner` do.

mod append;
mod lanes;
mod send;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use classifier::pipeline::decide::{Decided, Step};
use classifier::pipeline::fetch::Ask;
use classifier::pipeline::record::Received;
use classifier::pipeline::rooms::Rooms;
use protocol::{Event as Stored, Lane, UserId};
use routing::decide::Table;
use routing::{Cache, Route};
use store::{AppendError, Batch};

use crate::world::{Event, Life, World};

const LEASE: Duration = Duration::from_secs(2);
const BEAT: u64 = 500;
const TOPIC: &str = "chat-send";

/// What a classifier does at a moment.
#[derive(Debug)]
pub enum Job {
    /// Renews its lanes and reads the table.
    Beat,
    /// The same, once, for a lane that was lost.
    Renew,
    /// Acts on the table that it read.
    Act(Table<Lane>),
    /// Collects and decides what waits.
    Work,
    /// Postgres's answer to its append.
    Appended(Result<(), AppendError>),
    /// Sends what was committed.
    Route,
    /// Redis's answer to its look-up, issued then.
    Routed(Vec<(UserId, Vec<Route>)>, u64),
    /// All records of a batch are acknowledged, and of those before it: how far that takes each lane's claim.
    Settled(Vec<(Lane, i64, i64)>),
}

struct Held {
    epoch: i64,
    decided_before: i64,
    applied: i64,
    ahead: i64,
    routed: i64,
    next: usize,
    rooms: Rooms,
}

struct Committed {
    events: Vec<Stored>,
    steps: Vec<Step>,
    upto: Vec<(Lane, i64, i64)>,
}

struct UnderWay {
    records: Vec<Received>,
    ask: Ask,
    /// What was decided, while it is being appended.
    decided: Option<(Decided, Batch)>,
}

/// One classifier.
pub struct Classifier {
    /// Its run.
    pub life: Life,
    highest: i64,
    held: BTreeMap<Lane, Held>,
    /// Lost under this epoch, and still named as this one's: claimed anew.
    lost: BTreeMap<Lane, i64>,
    work: Option<UnderWay>,
    routing: VecDeque<Committed>,
    busy: bool,
    /// When the batch sent last is acknowledged.
    settled_at: u64,
    /// What the cache knew of the recipients of the batch being routed.
    found: HashMap<UserId, Vec<Route>>,
    cache: Cache,
}

impl Default for Classifier {
    fn default() -> Self {
        Self {
            life: Life::default(),
            highest: 0,
            held: BTreeMap::new(),
            lost: BTreeMap::new(),
            work: None,
            routing: VecDeque::new(),
            busy: false,
            settled_at: 0,
            found: HashMap::new(),
            cache: Cache::new(),
        }
    }
}

/// What plain data answers, it answers at once.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn name(n: usize) -> String {
    format!("classifier-{n}")
}

impl World {
    /// Starts a classifier; its life before is over.
    pub fn start_classifier(&mut self, n: usize) {
        let number = self.number();
        self.classifiers[n] = Classifier {
            life: Life {
                number,
                up: true,
                paused_until: 0,
            },
            ..Classifier::default()
        };
        self.classifier_soon(n, 1, 100, Job::Beat);
    }

    /// Ends a classifier in order: its lanes are handed over.
    pub fn stop_classifier(&mut self, n: usize) {
        let lanes: Vec<Lane> = self.classifiers[n].held.keys().copied().collect();
        for lane in lanes {
            self.release(n, lane);
        }
        self.classifiers[n].life.up = false;
    }

    /// Lets a classifier do something soon.
    pub fn classifier_soon(&mut self, n: usize, least: u64, end: u64, job: Job) {
        let life = self.classifiers[n].life.number;
        self.after(least, end, Event::Classifier(n, life, job));
    }

    /// Carries out a job.
    pub fn classifier_does(&mut self, n: usize, job: Job) {
        match job {
            Job::Beat => {
                self.classifier_soon(n, BEAT, BEAT + 1, Job::Beat);
                self.renew(n);
            }
            Job::Renew => self.renew(n),
            Job::Act(table) => self.take_lanes(n, &table),
            Job::Work => {
                if self.classifiers[n].work.is_none() {
                    self.collect(n);
                    self.attempt(n);
                } else if self.classifiers[n]
                    .work
                    .as_ref()
                    .is_some_and(|w| w.decided.is_none())
                {
                    self.attempt(n);
                }
            }
            Job::Appended(result) => self.appended(n, result),
            Job::Route => self.look_up(n),
            Job::Routed(found, issued) => {
                let issued = Duration::from_millis(issued);
                for (user, routes) in &found {
                    let routes = Arc::from(routes.as_slice());
                    self.classifiers[n].cache.put(*user, routes, issued);
                }
                self.send(n, &found.into_iter().collect());
            }
            Job::Settled(upto) => self.settled(n, upto),
        }
    }
}
