//! Each room in order, whole, once (I5): the last seq per room, and what is held while a hole is
//! read.

use bytes::Bytes;
use protocol::{RoomId, Seq, ServerFrame};

use super::message::{Answer, Output, Query, RoomAnswer};
use super::rules::Rules;
use crate::custody::Round;

/// A live frame that waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Held {
    room: RoomId,
    seq: Seq,
    frame: Option<Bytes>,
    round: Option<Round>,
    /// The first query that was asked after this frame came. What is committed is in every answer
    /// to a query sent later (I3), so what is absent after this one is not there (any more).
    after: u32,
}

impl Held {
    fn len(&self) -> usize {
        self.frame.as_ref().map_or(0, Bytes::len)
    }
}

/// Cursors that are kept of rooms that the user is not in.
const OTHERS: usize = 64;

/// Which rooms a query is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rooms {
    /// Those that wait for it.
    Waiting,
    /// All.
    All,
}

/// The last seq per room, and what waits.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct Order {
    /// Sorted by room.
    known: Vec<(RoomId, Seq)>,
    held: Vec<Held>,
    held_bytes: usize,
    /// The oldest round of frames that overflowed, and the query that brings what was in them.
    dropped: Option<(Round, u32)>,
    /// Dropped as already seen since that was asked last.
    seen: u32,
    /// Rooms whose frames wait, and for which query.
    waiting: Vec<(RoomId, u32)>,
    /// Everything waits until the first answer.
    catching_up: bool,
    /// The last query asked, and the last answered: at most one is under way.
    asked: u32,
    answered: u32,
    /// The next query about all rooms asks for read marks too.
    marks: bool,
    /// Another is needed after the one under way: what was noticed since must not join it (trap 8).
    again: Option<Rooms>,
}

impl Order {
    /// Before the first answer; `cursors` sorted by room.
    pub fn new(cursors: Vec<(RoomId, Seq)>) -> Self {
        Self {
            known: cursors,
            catching_up: true,
            marks: true,
            ..Self::default()
        }
    }

    /// The last seq of a room, when it is known.
    pub fn last(&self, room: RoomId) -> Option<Seq> {
        self.known
            .binary_search_by_key(&room, |&(r, _)| r)
            .ok()
            .map(|i| self.known[i].1)
    }

    fn set(&mut self, room: RoomId, seq: Seq) {
        match self.known.binary_search_by_key(&room, |&(r, _)| r) {
            Ok(i) => self.known[i].1 = seq,
            Err(i) => self.known.insert(i, (room, seq)),
        }
    }

    /// The number of the next query to be sent: it knows whatever has happened by now (I3).
    fn next_query(&self) -> u32 {
        self.asked + 1
    }

    /// Asks for what is above the cursors; returns the number of the query that will know it.
    /// What is noticed while one is under way needs another: it must not join it (trap 8).
    pub fn ask(&mut self, rooms: Rooms, out: &mut Vec<Output>) -> u32 {
        let number = self.next_query();
        if self.asked > self.answered {
            self.again = self.again.max(Some(rooms));
            return number;
        }
        self.asked = number;
        let waiting = self.waiting.iter().map(|w| (w.0, self.last(w.0)));
        let cursors = match rooms {
            // A room that waits and has no cursor is named too: the user may have left it meanwhile,
            // and of such rooms only those that are named are answered.
            Rooms::All => {
                let known = self.known.iter().map(|&(room, seq)| (room, Some(seq)));
                known.chain(waiting.filter(|w| w.1.is_none())).collect()
            }
            Rooms::Waiting => waiting.collect(),
        };
        out.push(Output::Query(Query {
            number,
            first: self.catching_up,
            rooms,
            cursors,
            marks: rooms == Rooms::All && std::mem::take(&mut self.marks),
        }));
        number
    }

    /// A read mark was dropped: the next query about all rooms brings it.
    pub fn ask_for_marks(&mut self) {
        self.marks = true;
    }

    /// The query failed: whoever waited for it waits for the next.
    pub fn failed(&mut self, number: u32) {
        self.answered = self.answered.max(number);
        self.again = None;
        // It may have been the one that was to bring them.
        self.marks = true;
    }

    /// Whether anything waits for a query.
    pub fn waits(&self) -> bool {
        self.catching_up || !self.waiting.is_empty()
    }

    /// The oldest round of which something was taken and not sent.
    pub fn oldest_round(&self) -> Option<Round> {
        let held = self.held.iter().filter_map(|held| held.round).min();
        let dropped = self.dropped.map(|dropped| dropped.0);
        [held, dropped].into_iter().flatten().min()
    }

    /// How many live frames were dropped as already seen since this was asked last.
    pub fn take_seen(&mut self) -> u64 {
        u64::from(std::mem::take(&mut self.seen))
    }

    /// Seen before, or not there to be seen.
    fn drop_seen(&mut self, out: &mut Vec<Output>) {
        self.seen = self.seen.saturating_add(1);
        out.push(Output::Seen);
    }

    /// A live frame: lower is dropped, next is delivered, higher or unknown reads the hole first. One
    /// that is not there, as the record came without it, is a hole itself.
    pub fn live(
        &mut self,
        room: RoomId,
        seq: Seq,
        frame: Option<Bytes>,
        round: Option<Round>,
        rules: &Rules,
        out: &mut Vec<Output>,
    ) {
        let last = self.last(room);
        if last.is_some_and(|last| seq <= last) && !self.catching_up {
            self.drop_seen(out);
            return;
        }
        let waits = self.catching_up || self.waiting.iter().any(|&(r, _)| r == room);
        let next = last.is_some_and(|last| seq == last.next());
        let frame = match frame {
            Some(frame) if next && !waits => {
                self.set(room, seq);
                out.push(Output::Deliver(frame));
                return;
            }
            frame => frame,
        };
        let after = self.next_query();
        if !waits {
            out.push(Output::Gap);
            self.waiting.push((room, after));
            self.ask(Rooms::Waiting, out);
        }
        let held = Held {
            room,
            seq,
            frame,
            round,
            after,
        };
        self.hold(held, rules, out);
    }

    fn hold(&mut self, held: Held, rules: &Rules, out: &mut Vec<Output>) {
        let full =
            self.held.len() >= rules.held_frames || self.held_bytes + held.len() > rules.held_bytes;
        if full {
            self.overflow(held.round, out);
            return;
        }
        self.held_bytes += held.len();
        self.held.push(held);
    }

    /// Nothing is held any more: all of it is committed (I3), so the next query finds it.
    fn overflow(&mut self, round: Option<Round>, out: &mut Vec<Output>) {
        out.push(Output::HeldOverflow);
        let number = self.next_query();
        let oldest = [self.oldest_round(), round].into_iter().flatten().min();
        self.dropped = oldest.map(|round| (round, number));
        self.held = Vec::new();
        self.held_bytes = 0;
        if self.catching_up {
            if self.asked > self.answered {
                self.again = Some(Rooms::All);
            }
        } else {
            for entry in &mut self.waiting {
                entry.1 = number;
            }
            self.ask(Rooms::Waiting, out);
        }
    }

    /// An answer: what is above the last seq is delivered, then the held frames of every room that
    /// waited for it. Returns how many events the answer itself brought.
    pub fn answered(&mut self, number: u32, answer: Answer, out: &mut Vec<Output>) -> usize {
        self.answered = self.answered.max(number);
        self.dropped = self.dropped.filter(|dropped| dropped.1 > number);
        let first = std::mem::take(&mut self.catching_up);
        let mut brought = 0;
        if first {
            self.forget_others(&answer.rooms);
        }
        for room in answer.rooms {
            brought += self.room(room, first, out);
        }
        let rooms: Vec<RoomId> = if first {
            let mut rooms: Vec<RoomId> = self.held.iter().map(|h| h.room).collect();
            rooms.sort_unstable();
            rooms.dedup();
            rooms
        } else {
            let due = self
                .waiting
                .iter()
                .filter(|w| w.1 <= number)
                .map(|w| w.0)
                .collect();
            self.waiting.retain(|w| w.1 > number);
            due
        };
        for room in rooms {
            if !self.waiting.iter().any(|w| w.0 == room) {
                self.release(room, number, out);
            }
        }
        if self.held.is_empty() {
            self.held = Vec::new();
        }
        if let Some(rooms) = self.again.take() {
            self.ask(rooms, out);
        }
        brought
    }

    fn room(&mut self, answer: RoomAnswer, first: bool, out: &mut Vec<Output>) -> usize {
        let room = answer.room;
        let mut last = match self.last(room) {
            Some(last) if !(first && answer.clamped) => last,
            // No cursor, or one above the head: the baseline, read after the route was written.
            _ => answer.from,
        };
        if first && answer.clamped {
            out.push(Output::Send(
                ServerFrame::CursorClamped {
                    room,
                    head: answer.head,
                }
                .encode(),
            ));
        }
        if let Some((from, to)) = answer.gap
            && to > last
        {
            let from = from.max(last.next());
            out.push(Output::Send(ServerFrame::Gap { room, from, to }.encode()));
            last = to;
        }
        let mut brought = 0;
        for (seq, frame) in answer.events {
            if seq > last {
                out.push(Output::Deliver(frame));
                last = seq;
                brought += 1;
            }
        }
        // What is absent after this read is absent.
        self.set(room, last.max(answer.head));
        out.extend(answer.marks.into_iter().map(Output::Send));
        brought
    }

    /// Of rooms that the first answer does not know few cursors are kept, whatever the client named.
    /// Some: of a room that the user has left, an event may be routed again.
    fn forget_others(&mut self, answered: &[RoomAnswer]) {
        let mut rooms: Vec<RoomId> = answered.iter().map(|answer| answer.room).collect();
        rooms.sort_unstable();
        let mut others = 0;
        self.known.retain(|&(room, _)| {
            if rooms.binary_search(&room).is_ok() {
                return true;
            }
            others += 1;
            others <= OTHERS
        });
        self.known.shrink_to_fit();
    }

    /// Lets a room wait for the query that follows the answer being worked in.
    fn wait_for_next(&mut self, room: RoomId) -> u32 {
        let number = self.next_query();
        self.again = self.again.max(Some(Rooms::Waiting));
        match self.waiting.iter_mut().find(|w| w.0 == room) {
            Some(entry) => entry.1 = number,
            None => self.waiting.push((room, number)),
        }
        number
    }

    /// Merges the held frames of a room by seq, after query `number`.
    fn release(&mut self, room: RoomId, number: u32, out: &mut Vec<Output>) {
        let mut due: Vec<Held> = self.held.extract_if(.., |held| held.room == room).collect();
        due.sort_unstable_by_key(|held| held.seq);
        self.held_bytes -= due.iter().map(Held::len).sum::<usize>();
        let mut hole = false;
        for held in due {
            let last = self.last(room);
            // Above the head of an answer that must know it: Postgres has lost it with its last commits,
            // or it is not for this user. What was lost is decided and routed again, and what was lost
            // before it comes first: to take it now would be to skip that for ever.
            let unknown = held.after <= number;
            if unknown || last.is_some_and(|last| held.seq <= last) {
                self.drop_seen(out);
                continue;
            }
            let next = !hole && last.is_some_and(|last| held.seq == last.next());
            match held.frame {
                Some(frame) if next => {
                    self.set(room, held.seq);
                    out.push(Output::Deliver(frame));
                }
                frame => {
                    // It came after the query was sent, and there is a hole before it.
                    if !std::mem::replace(&mut hole, true) {
                        out.push(Output::Gap);
                    }
                    let after = self.wait_for_next(room);
                    let held = Held {
                        after,
                        frame,
                        ..held
                    };
                    self.held_bytes += held.len();
                    self.held.push(held);
                }
            }
        }
    }
}
