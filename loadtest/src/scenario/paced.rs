//! Sending: one message, or many in an open loop.

use std::time::Duration;

use client::SendError;
use protocol::MessageId;
use tokio::{
    sync::watch,
    task::yield_now,
    time::{Instant, sleep_until},
};

use super::{Scenario, gauge::lock, setup::recipient};
use crate::plan::{self, Phase};

/// An open loop: a message is due at its time, whatever became of those before it.
#[derive(Debug, Clone)]
pub struct Paced {
    /// Messages a second, over all sessions.
    pub rate: f64,
    /// For how long.
    pub lasting: Duration,
    /// Bytes in a body.
    pub bytes: usize,
    /// Whether these count in latencies and sums.
    pub phase: Phase,
    /// The rooms to send to, in turn, by index; all when empty. In each room its members send in turn.
    pub rooms: Vec<usize>,
}

impl Default for Paced {
    /// 100 a second for 5 s, 256 bytes, measured, all rooms.
    fn default() -> Self {
        Self {
            rate: 100.0,
            lasting: Duration::from_secs(5),
            bytes: 256,
            phase: Phase::Measured,
            rooms: Vec::new(),
        }
    }
}

impl Scenario {
    /// Sends one message from a session to a room; the oracle hears of it.
    ///
    /// # Errors
    /// When the session's client does not take it.
    ///
    /// # Panics
    /// When there is no such session or room.
    pub fn say(
        &self,
        session: usize,
        room: usize,
        body: impl Into<String>,
    ) -> Result<MessageId, SendError> {
        let id = plan::id(
            self.gauge.us(Instant::now()),
            Phase::Measured,
            rand::random(),
        );
        self.issue(session, room, id, body.into())?;
        Ok(id)
    }

    /// The same with an id of the caller's, for resends by hand: the oracle counts it once.
    ///
    /// # Errors
    /// As [`Scenario::say`].
    ///
    /// # Panics
    /// As [`Scenario::say`].
    pub fn say_again(
        &self,
        session: usize,
        room: usize,
        id: MessageId,
        body: &str,
    ) -> Result<(), SendError> {
        let client = self.sessions[session]
            .client
            .as_ref()
            .ok_or(SendError::Stopped)?;
        client.send_as(self.rooms[room].id, id, body)
    }

    /// Sends as `paced` says. Who has no connection at the moment keeps the message in the outbox.
    pub async fn send(&self, paced: &Paced) {
        let (_never, mut end) = watch::channel(None);
        self.send_until(paced, Instant::now(), &mut end).await;
    }

    /// The same from `start` on, until `end` is told: what was due before that is sent, however late it is.
    pub(crate) async fn send_until(
        &self,
        paced: &Paced,
        start: Instant,
        end: &mut watch::Receiver<Option<Instant>>,
    ) {
        let everyone: Vec<_> = (0..self.rooms.len()).collect();
        let rooms = if paced.rooms.is_empty() {
            &everyone
        } else {
            &paced.rooms
        };
        if rooms.is_empty() {
            return;
        }
        let mut turns = vec![0_usize; rooms.len()];
        for number in 0_u64.. {
            let due = plan::due(number, paced.rate);
            if due >= paced.lasting {
                break;
            }
            let due = start + due;
            let over = end.wait_for(|end| end.is_some_and(|end| due >= end));
            tokio::select! {
                biased;
                Ok(_) = over => break,
                () = reached(due) => {}
            }
            let at = usize::try_from(number).unwrap_or(usize::MAX) % rooms.len();
            let members = &self.rooms[rooms[at]].members;
            let session = members[turns[at] % members.len()];
            turns[at] += 1;
            let id = plan::id(self.gauge.us(due), paced.phase, rand::random());
            if self
                .issue(session, rooms[at], id, "x".repeat(paced.bytes.max(1)))
                .is_err()
            {
                self.gauge.add_refused();
            }
        }
    }

    fn issue(
        &self,
        session: usize,
        room: usize,
        id: MessageId,
        body: String,
    ) -> Result<(), SendError> {
        let (index, session) = (session, &self.sessions[session]);
        let room = &self.rooms[room];
        let client = session.client.as_ref().ok_or(SendError::Stopped)?;
        // The oracle first: the answer may come before the call returns.
        lock(&room.ledger).issued(recipient(index), id);
        session.sent.add(id, room.id);
        let sent = client.send_as(room.id, id, body);
        if sent.is_ok() {
            self.gauge.add_issued(plan::read_id(id).1);
        } else {
            lock(&room.ledger).rejected(id);
        }
        sent
    }
}

async fn reached(due: Instant) {
    // Timers have a grain of 1 ms: what is due within it goes at once, a little late never early.
    if due > Instant::now() {
        sleep_until(due).await;
    } else {
        // Behind: the connections must run too, on one thread as well.
        yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However late the sender runs, it is asked for all that was due before the end, and for nothing that was due later.
    #[tokio::test]
    async fn what_was_due_before_the_end_is_sent_however_late() {
        // Nobody is connected: what is sent is refused, and counted.
        let scenario = Scenario::of_one_who_is_away();
        let paced = Paced {
            rate: 1_000.0,
            lasting: Duration::from_hours(1),
            ..Paced::default()
        };
        let start = Instant::now() - Duration::from_secs(9);
        let (_end, mut ended) = watch::channel(Some(start + Duration::from_secs(7)));
        scenario.send_until(&paced, start, &mut ended).await;
        assert_eq!(scenario.gauge().refused(), 7_000);
    }
}
