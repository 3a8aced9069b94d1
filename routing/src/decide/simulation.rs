//! Members that act on old tables, die, sleep and come back, on a lease store in memory.
//!
//! Everything comes from one seed, time included, so a failure is repeated by its seed.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::{Action, Me, Member, Slot, Table, Want, decide, decide_in_grace, is_former};

const STEP: u64 = 10;
const LEASE: u64 = 2_000;
const BEAT: u64 = 500;

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// A lease of the store: the owner stays written after its end.
#[derive(Debug, Clone, Default, PartialEq)]
struct Lease {
    owner: Option<usize>,
    claim: i64,
    until: u64,
}

/// A process: what it believes, and when it does something next.
struct Process {
    held: BTreeMap<usize, (i64, u64)>,
    highest: i64,
    /// The partition claimed last.
    had: Option<usize>,
    /// A table, and whether the grace ran when it was read.
    seen: Option<(Table<usize>, bool)>,
    wakes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Lanes,
    Homes,
}

struct World {
    kind: Kind,
    now: u64,
    leases: Vec<Lease>,
    heard: BTreeMap<usize, u64>,
    /// When anybody was heard last, and until when the grace runs.
    heard_at: u64,
    grace_until: u64,
    processes: BTreeMap<usize, Process>,
    chance: Chance,
    trace: Vec<(u64, usize, Action<usize>)>,
}

fn name(member: usize) -> String {
    format!("m{member:02}")
}

impl World {
    fn new(kind: Kind, partitions: usize, members: usize, seed: u64) -> Self {
        let mut world = Self {
            kind,
            now: 1_000_000,
            leases: vec![Lease::default(); partitions],
            heard: BTreeMap::new(),
            heard_at: 0,
            grace_until: 0,
            processes: BTreeMap::new(),
            chance: Chance(seed),
            trace: Vec::new(),
        };
        for member in 0..members {
            world.start(member);
        }
        world
    }

    fn start(&mut self, member: usize) {
        let process = Process {
            held: BTreeMap::new(),
            highest: 0,
            had: None,
            seen: None,
            wakes: self.now + self.chance.below(BEAT),
        };
        self.processes.insert(member, process);
    }

    /// One atomic call of the store: renew what is still the caller's, and read everything.
    fn heartbeat(&mut self, member: usize) -> (Table<usize>, bool) {
        // Lanes lie in Postgres, which does not come back without its memory.
        if self.kind == Kind::Homes && self.now - self.heard_at > LEASE / 2 {
            self.grace_until = self.now + LEASE;
        }
        self.heard_at = self.now;
        self.heard.insert(member, self.now + LEASE);
        let process = self.processes.get_mut(&member).unwrap();
        process.held.retain(|partition, (claim, until)| {
            let lease = &mut self.leases[*partition];
            let mine = lease.owner == Some(member) && lease.claim == *claim;
            if mine && lease.until > self.now {
                lease.until = self.now + LEASE;
                *until = lease.until;
                return true;
            }
            false
        });
        let left = |until: u64| Duration::from_millis(until.saturating_sub(self.now));
        let table = Table {
            read_at: Duration::from_millis(self.now),
            members: self
                .heard
                .iter()
                .map(|(member, until)| Member {
                    name: name(*member),
                    ttl_left: left(*until),
                })
                .collect(),
            slots: self
                .leases
                .iter()
                .enumerate()
                .map(|(partition, lease)| Slot {
                    partition,
                    owner: lease.owner.map(name),
                    claim: lease.claim,
                    ttl_left: left(lease.until),
                })
                .collect(),
        };
        (table, self.grace_until > self.now)
    }

    /// The store is emptied, and everybody who runs goes on.
    fn forget(&mut self) {
        self.leases.fill(Lease::default());
        self.heard.clear();
        self.heard_at = 0;
        self.grace_until = 0;
    }

    /// Carries out what the member decides on the table that it read a while ago.
    fn act(&mut self, member: usize, seen: &Table<usize>, grace: bool) {
        let process = self.processes.get_mut(&member).unwrap();
        let held: Vec<(usize, i64)> = process.held.iter().map(|(p, h)| (*p, h.0)).collect();
        let name = name(member);
        let me = Me {
            name: &name,
            held: &held,
            highest: process.highest,
            want: match self.kind {
                Kind::Lanes => Want::Share,
                Kind::Homes => Want::One {
                    preferred: process.had,
                },
            },
        };
        let now = Duration::from_millis(self.now);
        let had = process.had;
        let actions = if grace {
            decide_in_grace(seen, &me, had, now)
        } else {
            decide(seen, &me, now)
        };
        let silent = self.heard_at == 0 || self.grace_until > self.now;
        for action in actions {
            match action {
                Action::Claim(p) => {
                    let newcomer = self.kind == Kind::Homes && !is_former(seen, &me, had, p);
                    if newcomer && silent {
                        continue;
                    }
                    let lease = &mut self.leases[p];
                    let replaced = process.highest > 0 && lease.claim > process.highest;
                    let foreign = lease.owner != Some(member) || replaced;
                    if foreign && lease.until > self.now {
                        continue;
                    }
                    let now = i64::try_from(self.now).unwrap();
                    lease.owner = Some(member);
                    lease.claim = lease.claim.max(process.highest).max(now) + 1;
                    lease.until = self.now + LEASE;
                    process.highest = process.highest.max(lease.claim);
                    process.held.insert(p, (lease.claim, lease.until));
                    process.had = Some(p);
                }
                Action::Release(p) => {
                    assert_eq!(self.kind, Kind::Lanes, "a home is for life");
                    let (claim, _) = process.held.remove(&p).unwrap();
                    let lease = &mut self.leases[p];
                    if lease.owner == Some(member) && lease.claim == claim {
                        lease.until = self.now;
                    }
                }
            }
            self.trace.push((self.now, member, action));
        }
    }

    fn step(&mut self) {
        let due: Vec<usize> = self
            .processes
            .iter()
            .filter(|(_, process)| process.wakes <= self.now)
            .map(|(member, _)| *member)
            .collect();
        for member in due {
            let seen = self.processes.get_mut(&member).unwrap().seen.take();
            let pause = match seen {
                Some((seen, grace)) => {
                    self.act(member, &seen, grace);
                    BEAT
                }
                None => {
                    let seen = self.heartbeat(member);
                    self.processes.get_mut(&member).unwrap().seen = Some(seen);
                    self.chance.below(50)
                }
            };
            self.processes.get_mut(&member).unwrap().wakes = self.now + pause;
        }
        self.check_one_owner();
    }

    /// I6, I7: no two processes believe at once that one partition is theirs.
    fn check_one_owner(&self) {
        for partition in 0..self.leases.len() {
            let owners = self.processes.iter().filter(|(_, process)| {
                matches!(process.held.get(&partition), Some((_, until)) if *until > self.now)
            });
            assert!(owners.count() <= 1, "{partition} has two owners");
        }
    }

    fn run(&mut self, ms: u64) {
        let end = self.now + ms / STEP * STEP;
        while self.now < end {
            // Nothing happens before somebody wakes: the end of a lease alone gives nobody a second one.
            let wakes = self.processes.values().map(|process| process.wakes).min();
            let wakes = wakes.map_or(end, |wakes| wakes.next_multiple_of(STEP));
            self.now = wakes.clamp(self.now + STEP, end);
            self.step();
        }
    }

    /// Kills, pauses, returns and newcomers, for a while.
    fn trouble(&mut self) {
        for _ in 0..20 {
            let wait = self.chance.below(3_000);
            self.run(wait);
            let nth = usize::try_from(self.chance.below(1_000)).unwrap();
            let member = *self
                .processes
                .keys()
                .nth(nth % self.processes.len())
                .unwrap();
            match self.chance.below(4) {
                0 if self.processes.len() > 1 => {
                    self.processes.remove(&member);
                }
                // The same name, at once.
                1 => self.start(member),
                // The whole process stands still, perhaps between its read and what it does next.
                2 => {
                    let pause = self.chance.below(3 * LEASE);
                    self.processes.get_mut(&member).unwrap().wakes += pause;
                }
                _ => {
                    let limit = match self.kind {
                        Kind::Lanes => 9,
                        Kind::Homes => self.leases.len(),
                    };
                    if self.processes.len() < limit {
                        let new = (0..).find(|m| !self.processes.contains_key(m)).unwrap();
                        self.start(new);
                    }
                }
            }
        }
    }

    fn owners(&self) -> Vec<Option<usize>> {
        self.leases
            .iter()
            .map(|lease| lease.owner.filter(|_| lease.until > self.now))
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lanes_come_to_rest_shared_and_stay(seed: u64, lanes in 1_usize..30, members in 1_usize..8) {
        let mut world = World::new(Kind::Lanes, lanes, members, seed);
        world.trouble();
        world.run(10 * LEASE);
        let owners = world.owners();
        prop_assert!(owners.iter().all(Option::is_some), "{:?}", owners);
        let share = lanes / world.processes.len();
        for member in world.processes.keys() {
            let count = owners.iter().filter(|owner| **owner == Some(*member)).count();
            prop_assert!(count <= share + 1 && count + 1 >= share, "{:?}", owners);
        }
        // I7: nothing moves without a reason.
        let moves = world.trace.len();
        world.run(10 * LEASE);
        prop_assert_eq!(world.trace.len(), moves);

        // I7: when one goes for good, only what it had moves.
        if world.processes.len() > 1 {
            let gone = *world.processes.keys().next().unwrap();
            world.processes.remove(&gone);
            world.run(10 * LEASE);
            for (before, after) in owners.iter().zip(world.owners()) {
                prop_assert!(after.is_some() && after != Some(gone));
                prop_assert!(*before == Some(gone) || *before == after);
            }
        }
    }

    #[test]
    fn homes_are_one_each_and_for_life(seed: u64, spare in 0_usize..4, members in 1_usize..8) {
        let mut world = World::new(Kind::Homes, members + spare, members, seed);
        world.trouble();
        world.run(10 * LEASE);
        let owners = world.owners();
        for member in world.processes.keys() {
            let count = owners.iter().filter(|owner| **owner == Some(*member)).count();
            prop_assert_eq!(count, 1, "{:?}", owners);
        }
        // I7: everyone is restarted, long after its lease has ended, and finds its home again.
        let members: Vec<usize> = world.processes.keys().copied().collect();
        world.processes.clear();
        world.run(2 * LEASE);
        for member in members {
            world.start(member);
        }
        world.run(2 * LEASE);
        prop_assert_eq!(world.owners(), owners);
    }

    /// Trap 9, I7: the store loses its memory while newcomers arrive. Whoever had a home has it again,
    /// and the newcomers get what is left.
    #[test]
    fn trap_9_after_a_loss_of_memory_everyone_has_its_home_again(
        seed: u64,
        members in 1_usize..6,
        newcomers in 1_usize..4,
    ) {
        let mut world = World::new(Kind::Homes, members + newcomers, members, seed);
        world.run(4 * LEASE);
        let before = world.owners();
        world.forget();
        for new in members..members + newcomers {
            world.start(new);
        }
        world.run(4 * LEASE);
        let after = world.owners();
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(after.is_some(), "{:?}", after);
            prop_assert!(before.is_none() || before == after);
        }
    }

    /// A seed says everything: two runs of it are the same.
    #[test]
    fn a_seed_repeats_its_run(seed: u64) {
        let run = || {
            let mut world = World::new(Kind::Lanes, 24, 3, seed);
            world.trouble();
            (world.now, world.trace, world.leases)
        };
        prop_assert_eq!(run(), run());
    }
}
