//! The judge of a run: what was issued, accepted and delivered, and so what was lost, doubled or out of order.
//!
//! Pure: it is told what happened and counts; it does not know sockets or clocks. It takes arrivals raw, one by one, as
//! a recipient's connection reported them. One [`Ledger`] judges one room, so that rooms can be judged side by side; a
//! [`Verdict`] is the sum over them.

use std::{
    collections::HashMap,
    fmt,
    ops::{Add, AddAssign},
};

use protocol::{MessageId, Seq};
use serde::Serialize;

/// How many faults of a kind are told in full; the rest are counted.
const TOLD: usize = 8;

/// One session that receives: a device of a user, numbered by whoever runs the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Recipient(pub u32);

/// The account of one room: every message issued to it, and every arrival at each of its members.
#[derive(Debug)]
pub struct Ledger {
    name: String,
    members: Vec<Recipient>,
    /// Of these, who has left: nothing is waited for there any more.
    gone: Vec<bool>,
    messages: Vec<Issued>,
    by_id: HashMap<MessageId, usize>,
    by_seq: HashMap<Seq, usize>,
    accounts: Vec<Account>,
    faults: Faults,
    /// Pairs of an accepted message and a recipient that waits for it.
    outstanding: u64,
    unanswered: u64,
}

#[derive(Debug)]
struct Issued {
    id: MessageId,
    sender: Recipient,
    accepted: bool,
    rejected: bool,
    seq: Option<Seq>,
    /// Recipients that have it.
    got: usize,
}

#[derive(Debug, Default)]
struct Account {
    /// Arrivals by message.
    counts: Vec<u8>,
    highest: Seq,
    delivered: u64,
}

/// Faults in words, the first few of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Faults {
    duplicated: u64,
    out_of_order: u64,
    conflicting: u64,
    foreign: u64,
    told: Vec<String>,
    told_by_kind: [usize; 4],
}

impl Faults {
    fn tell(&mut self, kind: usize, words: impl FnOnce() -> String) {
        if self.told_by_kind[kind] < TOLD {
            self.told_by_kind[kind] += 1;
            self.told.push(words());
        }
    }
}

/// What a recipient's connection received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Who received it.
    pub recipient: Recipient,
    /// Its number in the room.
    pub seq: Seq,
    /// The id that its sender gave it.
    pub id: MessageId,
}

/// What an arrival was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The first arrival of that message at that recipient.
    First,
    /// It had arrived there before.
    Again,
    /// No such message was issued, or the recipient is no member.
    Foreign,
}

impl Ledger {
    /// The account of a room; everybody in `members` is to receive everything, the sender too.
    #[must_use]
    pub fn new(name: impl Into<String>, members: &[Recipient]) -> Self {
        Self {
            name: name.into(),
            members: members.to_vec(),
            gone: vec![false; members.len()],
            messages: Vec::new(),
            by_id: HashMap::new(),
            by_seq: HashMap::new(),
            accounts: members.iter().map(|_| Account::default()).collect(),
            faults: Faults::default(),
            outstanding: 0,
            unanswered: 0,
        }
    }

    /// A message was handed to the sender's client.
    pub fn issued(&mut self, sender: Recipient, id: MessageId) {
        self.by_id.insert(id, self.messages.len());
        self.messages.push(Issued {
            id,
            sender,
            accepted: false,
            rejected: false,
            seq: None,
            got: 0,
        });
        self.unanswered += 1;
    }

    /// The servers said that they have it, so it must arrive. True when said for the first time.
    pub fn accepted(&mut self, id: MessageId) -> bool {
        let Some(message) = self.by_id.get(&id).map(|at| &mut self.messages[*at]) else {
            return false;
        };
        if message.accepted {
            return false;
        }
        message.accepted = true;
        if !message.rejected {
            self.unanswered -= 1;
        }
        let at = self.by_id[&id];
        self.outstanding += self.waiting_for(at);
        true
    }

    /// How many of those who have not left are without a message.
    fn waiting_for(&self, at: usize) -> u64 {
        if self.gone.contains(&true) {
            count(self.without(at))
        } else {
            wide(self.members.len() - self.messages[at].got)
        }
    }

    /// A recipient is gone for good: what has not reached it is not lost, but [`Ledger::missed_by`] it.
    pub fn left(&mut self, recipient: Recipient) {
        let Some(member) = self.members.iter().position(|one| *one == recipient) else {
            return;
        };
        if !std::mem::replace(&mut self.gone[member], true) {
            let accepted = self.messages.iter().enumerate();
            let accepted = accepted.filter(|(_, message)| message.accepted);
            let counts = &self.accounts[member].counts;
            let missed = accepted.filter(|(at, _)| counts.get(*at).copied().unwrap_or(0) == 0);
            self.outstanding -= count(missed);
        }
    }

    /// The numbers of the accepted messages of others that have not arrived at a recipient, as far as they are known.
    pub fn missed_by(&self, recipient: Recipient) -> impl Iterator<Item = Seq> + '_ {
        let member = self.members.iter().position(|one| *one == recipient);
        let counts = member.map(|member| &self.accounts[member].counts);
        let has =
            move |at: usize| counts.is_none_or(|counts| counts.get(at).is_some_and(|n| *n > 0));
        let messages = self.messages.iter().enumerate();
        messages
            .filter(move |(at, message)| {
                message.accepted && message.sender != recipient && !has(*at)
            })
            .filter_map(|(_, message)| message.seq)
    }

    /// The answer to a resend: stored under that number. As good as accepted.
    pub fn stored(&mut self, id: MessageId, seq: Seq) -> bool {
        self.number(id, seq);
        self.accepted(id)
    }

    /// The servers refused it for good.
    pub fn rejected(&mut self, id: MessageId) {
        let Some(message) = self.by_id.get(&id).map(|at| &mut self.messages[*at]) else {
            return;
        };
        if !message.rejected && !message.accepted {
            self.unanswered -= 1;
        }
        message.rejected = true;
    }

    /// A message arrived.
    pub fn arrived(&mut self, arrival: Arrival) -> Seen {
        let member = self
            .members
            .iter()
            .position(|user| *user == arrival.recipient);
        let (Some(member), Some(at)) = (member, self.by_id.get(&arrival.id).copied()) else {
            self.faults.foreign += 1;
            let name = &self.name;
            self.faults.tell(3, || {
                format!("{name}: {arrival:?}: not issued, or not to that recipient")
            });
            return Seen::Foreign;
        };
        self.number(arrival.id, arrival.seq);
        let account = &mut self.accounts[member];
        if account.counts.len() <= at {
            account.counts.resize(self.messages.len(), 0);
        }
        account.delivered += 1;
        let again = account.counts[at] > 0;
        account.counts[at] = account.counts[at].saturating_add(1);
        let highest = account.highest;
        account.highest = highest.max(arrival.seq);
        let name = &self.name;
        if again {
            self.faults.duplicated += 1;
            self.faults.tell(0, || {
                format!("{name}: doubled: {arrival:?}, highest seq before: {highest}")
            });
            return Seen::Again;
        }
        let message = &mut self.messages[at];
        message.got += 1;
        if message.accepted && !self.gone[member] {
            self.outstanding -= 1;
        }
        if arrival.seq <= highest {
            self.faults.out_of_order += 1;
            self.faults.tell(1, || {
                format!("{name}: out of order: {arrival:?} after seq {highest}")
            });
        }
        Seen::First
    }

    /// Something that is no message arrived under a number. True when the number was above all before it.
    pub fn noted(&mut self, recipient: Recipient, seq: Seq) -> bool {
        let Some(member) = self.members.iter().position(|one| *one == recipient) else {
            return true;
        };
        let account = &mut self.accounts[member];
        let highest = account.highest;
        account.highest = highest.max(seq);
        if seq > highest {
            return true;
        }
        self.faults.out_of_order += 1;
        let name = &self.name;
        self.faults.tell(1, || format!("{name}: out of order or doubled: an event with seq {seq} after {highest} at {recipient:?}"));
        false
    }

    /// One message has one number and one number has one message, whoever says so (I2).
    fn number(&mut self, id: MessageId, seq: Seq) {
        let Some(at) = self.by_id.get(&id).copied() else {
            return;
        };
        let known = *self.messages[at].seq.get_or_insert(seq);
        let holder = *self.by_seq.entry(seq).or_insert(at);
        if known != seq || holder != at {
            self.faults.conflicting += 1;
            let (name, other) = (&self.name, self.messages[holder].id);
            self.faults.tell(2, || {
                format!("{name}: {id} has seq {known} and {seq}; seq {seq} belongs to {other}")
            });
        }
    }

    /// Who issued a message.
    #[must_use]
    pub fn sender(&self, id: MessageId) -> Option<Recipient> {
        self.by_id.get(&id).map(|at| self.messages[*at].sender)
    }

    /// The numbers of the accepted messages, as far as they are known: of each that has arrived anywhere.
    pub fn accepted_seqs(&self) -> impl Iterator<Item = Seq> + '_ {
        let accepted = self.messages.iter().filter(|message| message.accepted);
        accepted.filter_map(|message| message.seq)
    }

    /// Pairs of an accepted message and a recipient that it has not reached: what a run waits for at its end.
    #[must_use]
    pub const fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// Issued, and neither accepted nor rejected.
    #[must_use]
    pub const fn unanswered(&self) -> u64 {
        self.unanswered
    }

    fn missing(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let accepted = self
            .messages
            .iter()
            .enumerate()
            .filter(|(_, message)| message.accepted);
        accepted.map(|(at, _)| (at, count(self.without(at))))
    }

    /// The sum so far.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let mut details = self.faults.told.clone();
        let mut lost = 0;
        let mut lost_told = 0;
        for (at, missing) in self.missing().filter(|(_, missing)| *missing > 0) {
            lost += missing;
            if lost_told < TOLD {
                lost_told += 1;
                let message = &self.messages[at];
                let without: Vec<_> = self.without(at).take(TOLD).collect();
                details.push(format!(
                    "{}: lost: {} from {} (seq {:?}) at {missing} of {} recipients: {without:?}",
                    self.name,
                    message.id,
                    message.sender.0,
                    message.seq.map(|seq| seq.get()),
                    self.members.len(),
                ));
            }
        }
        Verdict {
            issued: count(self.messages.iter()),
            accepted: count(self.messages.iter().filter(|message| message.accepted)),
            rejected: count(self.messages.iter().filter(|message| message.rejected)),
            unanswered: self.unanswered(),
            delivered: self.accounts.iter().map(|account| account.delivered).sum(),
            lost,
            duplicated: self.faults.duplicated,
            out_of_order: self.faults.out_of_order,
            conflicting: self.faults.conflicting,
            foreign: self.faults.foreign,
            details,
        }
    }

    /// Who has not left and is without a message.
    fn without(&self, at: usize) -> impl Iterator<Item = u32> + '_ {
        let all = self.members.iter().zip(&self.accounts).zip(&self.gone);
        all.filter(move |((_, account), gone)| {
            !**gone && account.counts.get(at).copied().unwrap_or(0) == 0
        })
        .map(|((user, _), _)| user.0)
    }
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    items.fold(0, |sum, _| sum + 1)
}

/// The sums of a run. A run is good when [`Verdict::is_good`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Messages handed to clients.
    pub issued: u64,
    /// Of these, promised by the servers (`accepted` or `stored`).
    pub accepted: u64,
    /// Of these, refused for good.
    pub rejected: u64,
    /// Of these, neither.
    pub unanswered: u64,
    /// Arrivals at recipients, doubles included; a sender is a recipient of its own message.
    pub delivered: u64,
    /// Pairs of an accepted message and a recipient without it.
    pub lost: u64,
    /// Arrivals of a message that the recipient had.
    pub duplicated: u64,
    /// First arrivals with a number not above the highest that the recipient had in the room.
    pub out_of_order: u64,
    /// Messages seen under two numbers, or numbers seen on two messages.
    pub conflicting: u64,
    /// Arrivals of what nobody issued, or at who is no member.
    pub foreign: u64,
    /// The first faults of each kind in each room, in words.
    pub details: Vec<String>,
}

impl Verdict {
    /// Nothing was lost, doubled, out of order, misnumbered or strange.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.lost + self.duplicated + self.out_of_order + self.conflicting + self.foreign == 0
    }
}

impl AddAssign for Verdict {
    fn add_assign(&mut self, other: Self) {
        self.issued += other.issued;
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.unanswered += other.unanswered;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
        self.conflicting += other.conflicting;
        self.foreign += other.foreign;
        self.details.extend(other.details);
    }
}

impl Add for Verdict {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            issued,
            accepted,
            rejected,
            unanswered,
            delivered,
            ..
        } = self;
        let Self {
            lost,
            duplicated,
            out_of_order,
            conflicting,
            foreign,
            ..
        } = self;
        write!(
            f,
            "issued {issued}, accepted {accepted}, rejected {rejected}, unanswered {unanswered}, delivered {delivered}, \
             lost {lost}, doubled {duplicated}, out of order {out_of_order}, misnumbered {conflicting}, foreign {foreign}"
        )?;
        for detail in self.details.iter().take(40) {
            write!(f, "\n  {detail}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
