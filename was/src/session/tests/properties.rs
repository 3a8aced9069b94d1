//! Any order of commits, look-ups, records, answers and time: each room arrives in order, whole,
//! once.
//!
//! The world around the session is the one of I4: a committed event is routed by a look-up that may
//! be up to the route cache's bound old, so that records are missing until that long after the
//! route was acknowledged; records may come twice (routed again after a failover), but in the order
//! of the home; a query's snapshot is taken at any time between sending it and its answer. The home
//! may be lost with its route and all that was on it, and claimed anew. Postgres may lose its last
//! commits: the next ones are the same again, and are routed again.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const ROOMS: usize = 2;
const CACHE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone)]
enum Op {
    /// An event is committed; true: the look-up was fresh, false: as old as it may be.
    Commit(usize, bool),
    /// The home's next record arrives.
    Arrive,
    /// An event is routed again.
    Again(usize, usize),
    /// The route is acknowledged; false: it could not be written.
    Route(bool),
    /// The home's claim ends: its route finds nobody, its records are read by nobody.
    Lose,
    /// The session is told of the next claim.
    Tell,
    /// Postgres loses so many of a room's last commits.
    Forget(usize, i64),
    /// The query's snapshot is taken.
    Snapshot,
    /// Its answer arrives; false: it failed.
    Answer(bool),
    /// Time goes by.
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..ROOMS, any::<bool>()).prop_map(|(r, fresh)| Op::Commit(r, fresh)),
        6 => Just(Op::Arrive),
        1 => (0..ROOMS, 0usize..40).prop_map(|(r, n)| Op::Again(r, n)),
        1 => prop::bool::weighted(0.8).prop_map(Op::Route),
        1 => prop::bool::weighted(0.2).prop_map(|lost| if lost { Op::Lose } else { Op::Tell }),
        1 => (0..ROOMS, 1i64..4).prop_map(|(r, n)| Op::Forget(r, n)),
        2 => Just(Op::Snapshot),
        2 => prop::bool::weighted(0.9).prop_map(Op::Answer),
        2 => (0u64..1_500).prop_map(Op::Wait),
    ]
}

/// A query that was sent.
struct UnderWay {
    number: u32,
    cursors: Vec<(RoomId, Option<Seq>)>,
    rooms: Rooms,
    /// The heads, once its snapshot was taken.
    snapshot: Option<[i64; ROOMS]>,
}

struct World {
    bench: Bench,
    heads: [i64; ROOMS],
    /// As they were before Postgres lost commits.
    highest: [i64; ROOMS],
    cursors: [i64; ROOMS],
    routed_at: Option<Duration>,
    home: VecDeque<(usize, i64)>,
    query: Option<UnderWay>,
    taken: usize,
    /// The home's claims are counted: the one that stands, and the one that the session knows of.
    claim: u32,
    told: u32,
    /// The claim that the write under way leads to.
    write: Option<u32>,
}

impl World {
    fn new(heads: [i64; ROOMS], behind: [i64; ROOMS]) -> Self {
        let cursors: [i64; ROOMS] = std::array::from_fn(|i| (heads[i] - behind[i]).max(0));
        let mut bench = Bench::new();
        let given: Vec<(i64, i64)> = cursors
            .iter()
            .zip(1..)
            .map(|(&cursor, r)| (r, cursor))
            .collect();
        bench.hello(&given);
        let mut world = Self {
            bench,
            heads,
            highest: heads,
            cursors,
            routed_at: None,
            home: VecDeque::new(),
            query: None,
            taken: 0,
            claim: 0,
            told: 0,
            write: None,
        };
        world.look();
        world
    }

    fn id(r: usize) -> i64 {
        i64::try_from(r).unwrap() + 1
    }

    /// Picks up queries that the session asks, and routes that it wants written.
    fn look(&mut self) {
        while self.taken < self.bench.out.len() {
            if let Output::WriteRoute(_) = &self.bench.out[self.taken] {
                assert!(self.write.is_none(), "two writes under way");
                self.write = Some(self.told);
            }
            if let Output::Query(Query {
                number,
                cursors,
                rooms,
                ..
            }) = &self.bench.out[self.taken]
            {
                assert!(self.query.is_none(), "two queries under way");
                self.query = Some(UnderWay {
                    number: *number,
                    cursors: cursors.clone(),
                    rooms: *rooms,
                    snapshot: None,
                });
            }
            self.taken += 1;
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Commit(r, fresh) => {
                self.heads[r] += 1;
                self.highest[r] = self.highest[r].max(self.heads[r]);
                let seen = self
                    .routed_at
                    .is_some_and(|at| fresh || self.bench.now >= at + CACHE);
                if seen {
                    self.home.push_back((r, self.heads[r]));
                }
            }
            Op::Arrive => {
                if let Some((r, n)) = self.home.pop_front() {
                    self.bench.event(Self::id(r), n);
                }
            }
            Op::Again(r, n) => {
                let n = i64::try_from(n).unwrap() + 1;
                if n <= self.heads[r] && self.routed_at.is_some() {
                    self.home.push_back((r, n));
                }
            }
            Op::Route(done) => self.route(done),
            Op::Lose => {
                self.claim += 1;
                self.routed_at = None;
                self.home.clear();
            }
            Op::Tell => {
                if self.told < self.claim {
                    self.told = self.claim;
                    self.bench.put(Input::Rebuild(Home(2)));
                }
            }
            Op::Forget(r, n) => self.heads[r] = (self.heads[r] - n).max(self.cursors[r]),
            Op::Snapshot => {
                let heads = self.heads;
                if let Some(query) = &mut self.query {
                    query.snapshot.get_or_insert(heads);
                }
            }
            Op::Answer(ok) => self.answer(ok),
            Op::Wait(ms) => {
                self.bench.pong();
                self.bench.wait(Duration::from_millis(ms));
            }
        }
        self.look();
    }

    fn route(&mut self, done: bool) {
        // A first write that fails ends the session: not what is tried here.
        let first = matches!(self.bench.session.phase(), Phase::Registering);
        let Some(claim) = self.write.take() else {
            return;
        };
        let written = if !done && !first {
            Written::Failed
        } else if claim == self.claim && self.routed_at.is_none() {
            self.routed_at = Some(self.bench.now);
            Written::Restored
        } else {
            Written::Stands
        };
        self.bench.put(Input::RouteWritten(written));
    }

    fn answer(&mut self, ok: bool) {
        let Some(UnderWay {
            number,
            cursors,
            rooms,
            snapshot,
        }) = self.query.take()
        else {
            return;
        };
        // A first query that fails ends the session: not what is tried here.
        if !ok && number > 1 {
            self.bench.put(Input::Answered {
                number,
                answer: None,
            });
            return;
        }
        let heads = snapshot.unwrap_or(self.heads);
        let found = (0..ROOMS)
            .filter_map(|r| {
                let id = room(Self::id(r));
                let cursor = cursors.iter().find(|c| c.0 == id).map(|c| c.1);
                if rooms == Rooms::Waiting && cursor.is_none() {
                    return None;
                }
                let cursor = cursor.flatten().map_or(self.cursors[r], Seq::get);
                let from = cursor.min(heads[r]);
                let events: Vec<i64> = (from + 1..=heads[r]).collect();
                Some(RoomAnswer {
                    clamped: cursor > heads[r],
                    ..answer(Self::id(r), from, heads[r], &events)
                })
            })
            .collect();
        self.bench.answer(number, found);
    }

    /// Lets everything be stored that was, everything arrive that is on its way, and the settle pass.
    fn finish(&mut self) {
        self.apply(&Op::Tell);
        for r in 0..ROOMS {
            while self.heads[r] < self.highest[r] {
                self.apply(&Op::Commit(r, true));
            }
        }
        for _ in 0..60 {
            self.apply(&Op::Route(true));
            self.apply(&Op::Answer(true));
            while !self.home.is_empty() {
                self.apply(&Op::Arrive);
            }
            self.apply(&Op::Wait(500));
        }
    }

    fn check(&self) {
        for r in 0..ROOMS {
            let prefix = format!("{}:", Self::id(r));
            let got: Vec<i64> = self
                .bench
                .delivered()
                .iter()
                .filter_map(|text| text.strip_prefix(&prefix).map(|n| n.parse().unwrap()))
                .collect();
            let expected: Vec<i64> = (self.cursors[r] + 1..=self.highest[r]).collect();
            assert_eq!(got, expected, "room {}", Self::id(r));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// I4, I5, traps 8 and 13: in order, whole, once, whatever the order of events and however often
    /// the home is lost and rebuilt, and Postgres loses its last commits.
    #[test]
    fn i4_i5_in_order_whole_once(
        heads in [0i64..20, 0i64..20],
        behind in [0i64..10, 0i64..10],
        ops in prop::collection::vec(op(), 0..150),
    ) {
        let mut world = World::new(heads, behind);
        for op in &ops {
            world.apply(op);
        }
        world.finish();
        prop_assert_eq!(world.bench.closed(), None);
        world.check();
    }
}
