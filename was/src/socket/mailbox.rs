//! What waits for one socket: bounded in frames and in bytes (I9), and allocated only while
//! something waits, because most sockets are idle most of the time.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use protocol::{CloseCode, MessageId, RoomId, Seq};
use routing::Held;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::custody::Round;
use crate::session::{Answer, Input, Written};

/// How long a write may go on that is under way when its session is told to end.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);
/// So many presses that nobody took, one each round, and the task is blocked in a write: three seconds.
const PRESSES: u8 = 6;

/// One thing for a session's task.
#[derive(Debug)]
pub enum Item {
    /// An event of a room.
    Live {
        /// The room.
        room: RoomId,
        /// Its number there.
        seq: Seq,
        /// The frame; none when whoever has not seen it is to read it from Postgres.
        frame: Option<Bytes>,
        /// The reader's round, if it keeps custody of the record.
        round: Option<Round>,
    },
    /// A frame of a room without seq.
    Signal(Bytes),
    /// An answer to this session alone.
    Direct(Bytes),
    /// What Kafka said of a command.
    Produced(MessageId, bool),
    /// The route is to be written again, to the home as it is claimed now.
    Rebuild(Held),
    /// What Redis said of the route.
    RouteWritten(Written),
    /// What Postgres said of a query.
    Answered(u32, Option<Box<Answer>>),
    /// Too much is in custody: ping now; all that was queued before this round is queued by now.
    Press(Round),
    /// The session ends.
    End(CloseCode),
    /// The gateway stops: come back after so many ms.
    Drain(u64),
}

impl Item {
    /// Its weight in the bound: what others send counts; answers to what the session itself asked
    /// are bounded by what it may ask.
    fn weight(&self) -> usize {
        match self {
            Self::Live { frame, .. } => frame.as_ref().map_or(0, Bytes::len),
            Self::Signal(frame) | Self::Direct(frame) => frame.len(),
            _ => 0,
        }
    }

    fn counts(&self) -> bool {
        matches!(self, Self::Live { .. } | Self::Signal(_) | Self::Direct(_))
    }
}

impl From<Item> for Input {
    fn from(item: Item) -> Self {
        match item {
            Item::Live {
                room,
                seq,
                frame,
                round,
            } => Self::Live {
                room,
                seq,
                frame,
                round,
            },
            Item::Press(present) => Self::Press(present),
            Item::Signal(frame) => Self::Signal(frame),
            Item::Direct(frame) => Self::Direct(frame),
            Item::Produced(id, taken) => Self::Produced(id, taken),
            Item::Rebuild(held) => Self::Rebuild(held.home),
            Item::RouteWritten(written) => Self::RouteWritten(written),
            Item::Answered(number, answer) => Self::Answered {
                number,
                answer: answer.map(|answer| *answer),
            },
            Item::End(code) => Self::End(code),
            Item::Drain(retry_after_ms) => Self::Drain(retry_after_ms),
        }
    }
}

/// The bound of every mailbox.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// Frames.
    pub frames: usize,
    /// Bytes of frames.
    pub bytes: usize,
}

/// What became of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It waits.
    Queued,
    /// It did not fit: the socket is being closed as too slow.
    Full,
    /// The session has ended.
    Gone,
}

#[derive(Debug, Default)]
struct Waiting {
    items: VecDeque<Item>,
    frames: usize,
    bytes: usize,
    /// Closed, whatever it is doing; nothing more is taken.
    ended: Option<CloseCode>,
    /// Told to close: it says so to its client, unless that has to be waited for.
    leaving: Option<CloseCode>,
    presses: u8,
    gone: bool,
}

impl Waiting {
    fn end(&mut self, code: CloseCode) {
        self.ended = Some(code);
        self.items = VecDeque::new();
    }
}

/// A session's mailbox: many push, one task takes.
#[derive(Debug, Default)]
pub struct Mailbox {
    waiting: Mutex<Waiting>,
    bell: Notify,
}

impl Mailbox {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        // Nothing panics while it is held; were it so, the queue would still be whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an item, or ends the session when it does not fit.
    pub fn push(&self, item: Item, bound: Bound) -> Pushed {
        let mut waiting = self.lock();
        if waiting.gone || waiting.ended.is_some() {
            return Pushed::Gone;
        }
        let weight = item.weight();
        if item.counts() {
            if waiting.frames >= bound.frames || waiting.bytes + weight > bound.bytes {
                waiting.end(CloseCode::TooSlow);
                drop(waiting);
                self.bell.notify_one();
                return Pushed::Full;
            }
            waiting.frames += 1;
            waiting.bytes += weight;
        }
        let mut ring = waiting.items.is_empty();
        match &item {
            Item::End(code) => waiting.leaving = Some(*code),
            Item::Drain(_) => waiting.leaving = Some(CloseCode::GoingAway),
            Item::Press(_) => waiting.presses += 1,
            _ => {}
        }
        ring |= waiting.leaving.is_some();
        // It has been slow already: nothing is waited for.
        if waiting.leaving == Some(CloseCode::TooSlow) || waiting.presses >= PRESSES {
            waiting.end(CloseCode::TooSlow);
            drop(waiting);
            self.bell.notify_one();
            return Pushed::Queued;
        }
        waiting.items.push_back(item);
        drop(waiting);
        if ring {
            self.bell.notify_one();
        }
        Pushed::Queued
    }

    /// The frames that wait and count, and their bytes.
    pub fn waits(&self) -> (usize, usize) {
        let waiting = self.lock();
        match waiting.gone || waiting.ended.is_some() {
            // They will not leave any more: nothing waits.
            true => (0, 0),
            false => (waiting.frames, waiting.bytes),
        }
    }

    /// Takes all that waits, or why the session ends.
    pub fn take(&self) -> Result<VecDeque<Item>, CloseCode> {
        let mut waiting = self.lock();
        if let Some(code) = waiting.ended {
            return Err(code);
        }
        waiting.frames = 0;
        waiting.bytes = 0;
        waiting.presses = 0;
        Ok(std::mem::take(&mut waiting.items))
    }

    /// Whether nobody will take what is pushed.
    pub fn is_gone(&self) -> bool {
        let waiting = self.lock();
        waiting.gone || waiting.ended.is_some()
    }

    /// Waits until something can be taken.
    pub async fn ready(&self) {
        loop {
            let waits = {
                let waiting = self.lock();
                waiting.ended.is_some() || !waiting.items.is_empty()
            };
            if waits {
                return;
            }
            self.bell.notified().await;
        }
    }

    /// Waits until the session is ended from outside: what a blocked write is given up for.
    pub async fn ended(&self) -> CloseCode {
        let mut patience = None;
        loop {
            let (ended, leaving) = {
                let waiting = self.lock();
                (waiting.ended, waiting.leaving)
            };
            let Some(code) = ended.or(leaving) else {
                self.bell.notified().await;
                continue;
            };
            if ended.is_some() {
                return code;
            }
            let until = *patience.get_or_insert_with(|| Instant::now() + LEAVE_WITHIN);
            tokio::select! {
                () = tokio::time::sleep_until(until) => return code,
                () = self.bell.notified() => {}
            }
        }
    }

    /// The task is gone: nothing is queued any more. Returns how many frames were still waiting.
    pub fn abandon(&self) -> usize {
        let mut waiting = self.lock();
        waiting.gone = true;
        let left = waiting.frames;
        waiting.items = VecDeque::new();
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Bound = Bound {
        frames: 3,
        bytes: 100,
    };

    fn frame(len: usize) -> Item {
        Item::Direct(Bytes::from(vec![b'x'; len]))
    }

    /// I9: full in frames ends the session with its code, and nothing more is queued.
    #[test]
    fn i9_full_in_frames() {
        let mailbox = Mailbox::default();
        for _ in 0..3 {
            assert_eq!(mailbox.push(frame(1), BOUND), Pushed::Queued);
        }
        assert_eq!(mailbox.push(frame(1), BOUND), Pushed::Full);
        assert_eq!(mailbox.push(frame(1), BOUND), Pushed::Gone);
        assert_eq!(mailbox.take().unwrap_err(), CloseCode::TooSlow);
    }

    /// I9: full in bytes, with frames to spare.
    #[test]
    fn i9_full_in_bytes() {
        let mailbox = Mailbox::default();
        assert_eq!(mailbox.push(frame(60), BOUND), Pushed::Queued);
        assert_eq!(mailbox.push(frame(60), BOUND), Pushed::Full);
    }

    #[test]
    fn answers_to_its_own_questions_do_not_fill_it() {
        let mailbox = Mailbox::default();
        for _ in 0..100 {
            assert_eq!(
                mailbox.push(Item::RouteWritten(Written::Stands), BOUND),
                Pushed::Queued
            );
        }
        assert_eq!(mailbox.take().unwrap().len(), 100);
        assert_eq!(mailbox.push(frame(60), BOUND), Pushed::Queued);
    }

    /// I9: who is to be closed as too slow is not waited for, also while its task is blocked in a write;
    /// what it had not taken counts as unwritten.
    #[tokio::test]
    async fn i9_a_blocked_task_is_ended_at_once() {
        let mailbox = Mailbox::default();
        mailbox.push(frame(1), BOUND);
        mailbox.push(Item::End(CloseCode::TooSlow), BOUND);
        let ended = tokio::time::timeout(LEAVE_WITHIN / 2, mailbox.ended()).await;
        assert_eq!(ended, Ok(CloseCode::TooSlow));
        assert_eq!(mailbox.abandon(), 1);
    }

    /// Who is sent away is told so, behind what was queued before; a write that is blocked has little
    /// time left for that.
    #[tokio::test]
    async fn who_is_sent_away_is_told_unless_it_blocks() {
        for (item, code) in [
            (Item::End(CloseCode::Replaced), CloseCode::Replaced),
            (Item::Drain(5), CloseCode::GoingAway),
        ] {
            let mailbox = Mailbox::default();
            let begun = Instant::now();
            let (ended, ()) = tokio::join!(mailbox.ended(), async {
                tokio::task::yield_now().await;
                mailbox.push(frame(1), BOUND);
                mailbox.push(item, BOUND);
                assert_eq!(mailbox.take().unwrap().len(), 2);
            });
            assert_eq!(ended, code);
            assert!(begun.elapsed() >= LEAVE_WITHIN, "not at once");
        }
    }

    /// I9: a task that takes no press is blocked in a write; one that takes them may get many.
    #[test]
    fn i9_who_takes_no_press_is_ended() {
        let mailbox = Mailbox::default();
        let press = |mailbox: &Mailbox, count| {
            for n in 0..count {
                mailbox.push(Item::Press(Round(n)), BOUND);
            }
        };
        for _ in 0..3 {
            press(&mailbox, u64::from(PRESSES) - 1);
            assert!(mailbox.take().is_ok());
        }
        press(&mailbox, u64::from(PRESSES));
        assert_eq!(mailbox.take().unwrap_err(), CloseCode::TooSlow);
    }

    #[tokio::test]
    async fn a_push_wakes_the_task() {
        let mailbox = std::sync::Arc::new(Mailbox::default());
        let other = mailbox.clone();
        let waiting = tokio::spawn(async move {
            other.ready().await;
            other.take().unwrap().len()
        });
        tokio::task::yield_now().await;
        mailbox.push(frame(1), BOUND);
        assert_eq!(waiting.await.unwrap(), 1);
    }
}
