//! Who holds which round, what was left behind, and where the offset may stand.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use protocol::{Address, RoomId, Seq, UserId};

use super::ledger::{Ledger, Left};
use super::rounds::Rounds;
use super::{Batch, Capacity, Holder, Orphan, Round, Ticket};

/// What one session has not confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Holding {
    /// The first record that it holds; it holds all records for its user from there on.
    from: i64,
    /// The round of that record.
    oldest: Round,
    /// The last round in which it was written to.
    last: Round,
}

/// The duty of a home's reader for what it has read (see the module).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Custody {
    capacity: Capacity,
    pub(super) rounds: Rounds,
    ledger: Ledger,
    pub(super) holdings: BTreeMap<Holder, Holding>,
    orphans: VecDeque<(Round, Orphan)>,
    under_way: BTreeMap<Ticket, BTreeMap<Round, usize>>,
    /// Orphans in all of `under_way`.
    handing: usize,
    tickets: u64,
    /// Behind the last record that was read.
    next: Option<i64>,
    confirmed: u64,
}

impl Custody {
    /// Nothing is read yet. `present` is above every round that sessions know of earlier readers.
    pub fn new(present: Round, capacity: Capacity) -> Self {
        Self {
            capacity,
            rounds: Rounds::new(present),
            ledger: Ledger::default(),
            holdings: BTreeMap::new(),
            orphans: VecDeque::new(),
            under_way: BTreeMap::new(),
            handing: 0,
            tickets: 0,
            next: None,
            confirmed: 0,
        }
    }

    /// The round that records read now belong to.
    pub fn present(&self) -> Round {
        self.rounds.present()
    }

    /// Begins a new round, if the present one has anything in custody; returns the present one. All
    /// that was queued in rounds before it is in the sessions' mailboxes: what a ping confirms.
    pub fn turn(&mut self) -> Round {
        self.rounds.turn();
        self.present()
    }

    /// Record `offset` was queued for a session of `user`. Not needed, and without effect, for a
    /// session that was written to in the present round before.
    pub fn wrote(&mut self, offset: i64, user: UserId, session: Address) {
        self.rounds.reach(offset);
        let present = self.present();
        if let Some(holding) = self.holdings.get_mut(&(user, session)) {
            holding.last = present;
            return;
        }
        let holding = Holding {
            from: offset,
            oldest: present,
            last: present,
        };
        self.holdings.insert((user, session), holding);
        self.rounds.hold(present);
    }

    /// Record `offset` is for somebody who has no session here.
    pub fn absent(&mut self, offset: i64, orphan: Orphan) {
        self.rounds.reach(offset);
        let present = self.present();
        self.rounds.orphan(present);
        self.orphans.push_back((present, orphan));
    }

    /// A record is dealt with; `users` are those of its recipients for whose sessions it was queued.
    pub fn record(&mut self, offset: i64, room: RoomId, seq: Seq, users: Vec<UserId>) {
        if !users.is_empty() {
            self.rounds.reach(offset);
            self.ledger.enter(self.present(), offset, room, seq, users);
        }
        self.passed(offset);
    }

    /// A record without a seq, or that can't be read, is dealt with.
    pub fn passed(&mut self, offset: i64) {
        self.next = Some(offset + 1);
    }

    /// A session has confirmed all rounds up to `upto`. The present one can't be confirmed: more may
    /// be queued in it.
    pub fn confirm(&mut self, user: UserId, session: Address, upto: Round) {
        let Some(upto) = self.present().before().map(|most| upto.min(most)) else {
            return;
        };
        let Some(holding) = self.holdings.get_mut(&(user, session)) else {
            return;
        };
        if upto < holding.oldest {
            return;
        }
        self.rounds.let_go(holding.oldest);
        if holding.last <= upto {
            self.holdings.remove(&(user, session));
        } else {
            holding.oldest = upto.next();
            // No round behind the oldest is empty, and the session was here before its first record.
            if let Some(first) = self.rounds.first(holding.oldest) {
                holding.from = first;
            }
            self.rounds.hold(holding.oldest);
        }
        self.close();
    }

    /// A session has ended, and its client has received all that was queued for it.
    pub fn received(&mut self, user: UserId, session: Address) {
        if let Some(holding) = self.holdings.remove(&(user, session)) {
            self.rounds.let_go(holding.oldest);
            self.close();
        }
    }

    /// Sessions have ended: what they held and no other session of their user holds is orphaned, in
    /// one pass for all of them.
    pub fn ended(&mut self, sessions: &[Holder]) {
        let mut lowest: BTreeMap<UserId, i64> = BTreeMap::new();
        for holder in sessions {
            if let Some(holding) = self.holdings.remove(holder) {
                self.rounds.let_go(holding.oldest);
                let from = lowest.entry(holder.0).or_insert(holding.from);
                *from = holding.from.min(*from);
            }
        }
        let left: Vec<Left> = lowest
            .into_iter()
            .map(|(user, from)| Left {
                user,
                from,
                until: self.held_from(user),
            })
            .filter(|left| left.from < left.until)
            .collect();
        let Self {
            ledger,
            rounds,
            orphans,
            ..
        } = self;
        ledger.orphan(&left, |round, orphan| {
            rounds.orphan(round);
            orphans.push_back((round, orphan));
        });
        self.close();
    }

    /// From where on some session of a user holds everything.
    fn held_from(&self, user: UserId) -> i64 {
        let begin = Bound::Included((user, Address::nil()));
        let sessions = self.holdings.range((begin, Bound::Unbounded));
        sessions
            .take_while(|((of, _), _)| *of == user)
            .map(|(_, holding)| holding.from)
            .min()
            .unwrap_or(i64::MAX)
    }

    /// Up to `most` orphans that are to be handed on now. Their rounds stay open until
    /// [`handed`](Self::handed).
    pub fn take_orphans(&mut self, most: usize) -> Option<Batch> {
        let count = self.orphans.len().min(most);
        if count == 0 {
            return None;
        }
        let mut rounds = BTreeMap::new();
        let taken = self.orphans.drain(..count);
        let orphans = taken
            .map(|(round, orphan)| {
                *rounds.entry(round).or_insert(0) += 1;
                orphan
            })
            .collect();
        self.handing += count;
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.under_way.insert(ticket, rounds);
        Some(Batch { ticket, orphans })
    }

    /// All of a batch is acknowledged.
    pub fn handed(&mut self, ticket: Ticket) {
        for (round, orphans) in self.under_way.remove(&ticket).unwrap_or_default() {
            self.handing -= orphans;
            self.rounds.handed(round, orphans);
        }
        self.close();
    }

    fn close(&mut self) {
        while let Some(round) = self.rounds.close_oldest() {
            self.confirmed += self.ledger.close(round);
        }
    }

    /// Where the next reader is to begin: at the first record that is not done with, else behind the
    /// last that was read. None before anything was read. It never goes back.
    pub fn committable(&self) -> Option<i64> {
        self.rounds.open_at().or(self.next)
    }

    /// Deliveries confirmed by a session in rounds that were closed since the last call.
    pub fn take_confirmed(&mut self) -> u64 {
        std::mem::take(&mut self.confirmed)
    }

    /// Orphans that wait or are being handed on.
    pub fn orphans(&self) -> usize {
        self.orphans.len() + self.handing
    }

    /// Records and deliveries in custody, orphans among them.
    pub fn kept(&self) -> Capacity {
        Capacity {
            records: self.ledger.records(),
            deliveries: self.ledger.deliveries() + self.orphans(),
        }
    }

    /// Nothing more is to be read until a round is done (I9).
    pub fn is_full(&self) -> bool {
        let (kept, capacity) = (self.kept(), self.capacity);
        kept.records >= capacity.records || kept.deliveries >= capacity.deliveries
    }

    /// Half of what fits is in custody: those of [`press`](Self::press) are to be asked.
    pub fn is_pressed(&self) -> bool {
        let (kept, capacity) = (self.kept(), self.capacity);
        kept.records >= capacity.records / 2 || kept.deliveries >= capacity.deliveries / 2
    }

    /// The sessions that hold the older half of the rounds, the present one apart: to be pinged now.
    pub fn press(&self) -> Vec<Holder> {
        let (oldest, present) = (self.rounds.oldest().0, self.present().0);
        self.holders(Round(oldest + (present - oldest) / 2))
    }

    /// The sessions that hold the oldest round: what keeps the offset where it is, orphans apart.
    pub fn oldest_holders(&self) -> Vec<Holder> {
        self.holders(self.rounds.oldest())
    }

    fn holders(&self, upto: Round) -> Vec<Holder> {
        let holding = |(_, holding): &(&Holder, &Holding)| holding.oldest <= upto;
        let holders = self.holdings.iter().filter(holding);
        holders.map(|(holder, _)| *holder).collect()
    }
}
