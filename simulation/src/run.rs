//! One run: a seed, what happens, and what is left at its end.

use std::fmt;

use protocol::{RoomId, Seq, UserId};

use crate::classifier::Classifier;
use crate::device::Device;
use crate::gateway::Gateway;
use crate::switches::Without;
use crate::world::{Event, World};

/// How long things break, in ms.
const TROUBLE: u64 = 20_000;
/// How long it may take until all is delivered: leases, resends, the settle; and the audit, if there is one.
const REST: u64 = 14_000;
const AUDIT: u64 = 12_000;
const GATEWAYS: usize = 3;
const CLASSIFIERS: usize = 2;
const ROOMS: i64 = 5;
/// Who has each device: the first user two.
const DEVICES: [i64; 5] = [1, 1, 2, 3, 4];

/// A run in which nothing was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// What happened in it, as one number.
    pub trace: u64,
    /// How many things happened.
    pub steps: u64,
    /// How many events were stored.
    pub events: usize,
    /// How many messages were said to be accepted.
    pub accepted: usize,
}

/// A run in which an invariant was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its seed.
    pub seed: u64,
    /// The step at which it was noticed.
    pub step: u64,
    /// When, in ms.
    pub at: u64,
    /// What.
    pub what: String,
    /// The last things that happened.
    pub trace: Vec<String>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        let Self {
            seed,
            step,
            at,
            what,
            ..
        } = self;
        write!(f, "seed {seed}, step {step}, {at} ms: {what}")
    }
}

/// Runs one seed.
///
/// # Errors
/// The first thing that was found broken.
pub fn run(seed: u64, without: Option<Without>) -> Result<Passed, Broken> {
    let mut world = World::new(seed, without);
    let start = world.now;
    begin(&mut world);
    world.run_until(start + TROUBLE);
    if world.broken().is_none() {
        world.calm_down();
    }
    let rest = REST + if world.audits { AUDIT } else { 0 };
    world.run_until(start + TROUBLE + rest);
    if world.broken().is_none() {
        let end = at_rest(&world);
        world.check(end);
    }
    let (hash, trace) = world.trace();
    match world.broken() {
        None => Ok(Passed {
            trace: hash,
            steps: world.steps,
            events: world.truth.rooms.values().map(|log| log.events.len()).sum(),
            accepted: world.truth.accepted.len(),
        }),
        Some(what) => Err(Broken {
            seed,
            step: world.steps,
            at: world.now - start,
            what: what.clone(),
            trace,
        }),
    }
}

fn begin(world: &mut World) {
    world.gateways.resize_with(GATEWAYS, Gateway::default);
    world
        .classifiers
        .resize_with(CLASSIFIERS, Classifier::default);
    for n in 0..GATEWAYS {
        world.start_gateway(n);
    }
    for n in 0..CLASSIFIERS {
        world.start_classifier(n);
    }
    let users: Vec<UserId> = DEVICES
        .iter()
        .filter_map(|n| UserId::new(*n).ok())
        .collect();
    for (device, user) in users.iter().enumerate() {
        world.devices.push(Device::new(*user));
        world.after(300, 3_000, Event::Connect(device));
    }
    // Mostly one user goes away and stays away: pushes are all that is left to tell of what comes (I8).
    if !world.chance.one_in(4) {
        world.after(4_000, 16_000, Event::Leave(DEVICES.len() - 1));
    }
    let rooms: Vec<RoomId> = (1..=ROOMS).filter_map(|n| RoomId::new(n).ok()).collect();
    world.found_rooms(&rooms, &users);
    world.after(500, 1_000, Event::Talk);
    world.after(1_000, 4_000, Event::Fault);
}

/// Everything accepted is stored or was refused; everything stored is with everybody who may see it; nobody
/// waits for an answer; who was away was told of everything (I8); who owns what has come to rest (I7).
fn at_rest(world: &World) -> Result<(), String> {
    let here = world.devices.iter().enumerate();
    for (n, device) in here.filter(|(_, device)| !device.gone) {
        if !device.greeted {
            return Err(format!("device {n} is not connected"));
        }
        if !device.outbox.is_empty() {
            return Err(format!(
                "device {n} waits for {} answers",
                device.outbox.len()
            ));
        }
        for (room, log) in &world.truth.rooms {
            let cursor = device.cursors.get(room).copied();
            // Who was added and removed again without seeing either is told of neither: the catch-up asks about
            // the rooms that a user is in, and those that the session knows.
            let mut stays = log.stays.iter();
            let is_in = stays.any(|stay| stay.user == device.user && stay.left.is_none());
            if cursor.is_none() && !is_in {
                continue;
            }
            if let Some(next) = world
                .truth
                .next_of(device.user, *room, cursor.unwrap_or(Seq::ZERO))
            {
                let head = log.head();
                return Err(format!(
                    "I5: device {n} has {cursor:?} of room {room}, not {next}, of {head}"
                ));
            }
        }
    }
    for id in &world.truth.accepted {
        if !world.truth.is_stored(*id) && !world.truth.refused.contains(id) {
            return Err(format!("I1: {id} was accepted and is nowhere"));
        }
    }
    let tables = world.postgres.tables();
    for (room, log) in &world.truth.rooms {
        if tables.rooms.get(room).map(crate::postgres::StoredLog::head) != Some(log.head()) {
            return Err(format!("I1: room {room} was not filled again"));
        }
    }
    world.everybody_was_told()?;
    if tables.owners().iter().any(Option::is_none) {
        return Err("a lane has no owner".to_owned());
    }
    if world.moved + 4_000 > world.now {
        return Err("I7: lanes and homes still move".to_owned());
    }
    Ok(())
}
