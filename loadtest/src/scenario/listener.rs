//! What is done with the events of one connection: counted, judged, and otherwise dropped.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use client::{Arrival, Event, Message};
use protocol::RejectCode;
use tokio::sync::Notify;

use super::{
    gauge::{Gauge, lock},
    room::Rooms,
};
use crate::{
    oracle::{self, Recipient, Seen},
    plan,
};

/// Listens on one session.
pub(crate) struct Listener {
    pub(crate) index: usize,
    pub(crate) recipient: Recipient,
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) gauge: Arc<Gauge>,
    pub(crate) status: Arc<Status>,
    /// Who sent which of the own messages is known by the room that `accepted` does not name.
    pub(crate) sent: Arc<Sent>,
}

/// Where a session is connected, for those who wait for it.
#[derive(Debug, Default)]
pub(crate) struct Status {
    pub(crate) greetings: AtomicU64,
    pub(crate) place: Mutex<Place>,
    pub(crate) changed: Notify,
}

/// The last that was heard of a connection.
#[derive(Debug, Default, Clone)]
pub(crate) struct Place {
    pub(crate) was: Option<String>,
    /// The same, as it was connected to.
    pub(crate) url: Option<String>,
    pub(crate) last_words: String,
}

/// The room of each message on its way.
#[derive(Debug, Default)]
pub(crate) struct Sent(Mutex<std::collections::HashMap<protocol::MessageId, protocol::RoomId>>);

impl Sent {
    pub(crate) fn add(&self, id: protocol::MessageId, room: protocol::RoomId) {
        lock(&self.0).insert(id, room);
    }

    fn take(&self, id: protocol::MessageId) -> Option<protocol::RoomId> {
        lock(&self.0).remove(&id)
    }
}

impl Listener {
    pub(crate) fn hear(&mut self, arrival: Arrival) {
        let at = arrival.at;
        match arrival.event {
            Event::Message(message) => self.message(at, &message),
            Event::Accepted { id } => {
                // The first one is what the sender waited for; the own message may have come before it.
                let Some(room) = self.sent.take(id).and_then(|room| self.rooms.get(room)) else {
                    return;
                };
                let (due, phase) = plan::read_id(id);
                self.gauge.add_answer(self.index, at, due, phase);
                if lock(&room.ledger).accepted(id) {
                    self.gauge.add_accepted(phase);
                }
            }
            Event::Stored { id, room, seq } => {
                let Some(room) = self.rooms.get(room) else {
                    return;
                };
                if lock(&room.ledger).stored(id, seq) {
                    self.gauge.add_accepted(plan::read_id(id).1);
                }
            }
            Event::Room(event) => {
                if let Some(room) = self.rooms.get(event.room) {
                    lock(&room.ledger).noted(self.recipient, event.seq);
                }
            }
            Event::Rejected {
                resend_in: Some(_), ..
            } => self.gauge.add_delayed(),
            // Of an attempt whose resend was answered before it: the command is settled, and was not refused. If it was not
            // answered after all, the oracle misses the answer.
            Event::Rejected {
                code: RejectCode::Unavailable | RejectCode::RateLimited,
                ..
            } => self.gauge.add_delayed(),
            Event::Rejected {
                id,
                code,
                message,
                resend_in: None,
            } => {
                if let Some(room) = self.sent.take(id).and_then(|room| self.rooms.get(room)) {
                    lock(&room.ledger).rejected(id);
                }
                self.remark(|| format!("rejected {id}: {code}: {message}"));
            }
            Event::Gap { room, from, to } => {
                self.gauge.add_gap();
                self.remark(|| format!("gap in room {room} from {from} to {to}"));
            }
            Event::Connected(connected) => {
                if let Some(away) = connected.away {
                    self.gauge.add_absence(away);
                }
                self.status.greetings.fetch_add(1, Relaxed);
                self.place(Place {
                    was: Some(connected.was),
                    url: Some(connected.url),
                    last_words: "connected".to_owned(),
                });
            }
            Event::Disconnected { cause, .. } => {
                self.gauge.add_loss();
                self.place(Place {
                    was: None,
                    url: None,
                    last_words: cause.to_string(),
                });
            }
            Event::Stopped { cause } => self.place(Place {
                was: None,
                url: None,
                last_words: format!("stopped: {cause}"),
            }),
            Event::Error { code, message, .. } => {
                self.remark(|| format!("error {code}: {message}"));
            }
            Event::Unreadable { text } => self.remark(|| format!("unreadable frame: {text}")),
            Event::CursorClamped { room, head } => {
                self.remark(|| format!("cursor of room {room} put back to {head}"));
            }
            Event::Read { .. }
            | Event::Typing { .. }
            | Event::Presence { .. }
            | Event::Bye { .. } => {}
        }
    }

    fn message(&self, at: tokio::time::Instant, message: &Message) {
        self.gauge.add_arrival(at);
        let (id, seq) = (message.id, message.seq);
        let Some(room) = self.rooms.get(message.room) else {
            self.gauge.add_stray();
            self.remark(|| {
                format!(
                    "message {id} in room {}, which is not of this scenario",
                    message.room
                )
            });
            return;
        };
        let recipient = self.recipient;
        let (due, phase) = plan::read_id(id);
        let (seen, own, promised) = {
            let mut ledger = lock(&room.ledger);
            let seen = ledger.arrived(oracle::Arrival { recipient, seq, id });
            let own = ledger.sender(id) == Some(recipient);
            // The own message promises no less than `accepted`, and may overtake it.
            (seen, own, own && ledger.accepted(id))
        };
        if promised {
            self.gauge.add_accepted(phase);
        }
        if seen == Seen::First {
            self.gauge.add_delivered(self.index, at, due, phase, own);
        }
    }

    fn place(&self, place: Place) {
        *lock(&self.status.place) = place;
        self.status.changed.notify_waiters();
    }

    fn remark(&self, words: impl FnOnce() -> String) {
        self.gauge
            .remark(|| format!("session {}: {}", self.index, words()));
    }
}

#[cfg(test)]
mod tests {
    use client::{Arrival, Event, Message};
    use protocol::{MessageId, RoomId, Seq, UserId};
    use tokio::time::Instant;

    use super::*;
    use crate::scenario::Scenario;

    /// What comes from a room that nobody here is in has no ledger, and is foreign all the same.
    #[test]
    fn a_message_of_an_unknown_room_is_foreign() {
        let scenario = Scenario::new(Vec::new());
        let mut listener = Listener {
            index: 0,
            recipient: Recipient(0),
            rooms: Arc::default(),
            gauge: scenario.shared_gauge(),
            status: Arc::default(),
            sent: Arc::default(),
        };
        assert!(scenario.verdict().is_good());
        let message = Message {
            room: RoomId::new(7).unwrap(),
            seq: Seq::ZERO.next(),
            id: MessageId::now_v7(),
            from: UserId::new(1).unwrap(),
            body: String::new(),
            at: String::new(),
            edited: None,
            deleted: None,
        };
        listener.hear(Arrival {
            at: Instant::now(),
            event: Event::Message(message),
        });
        let verdict = scenario.verdict();
        assert_eq!(verdict.foreign, 1);
        assert!(!verdict.is_good());
    }
}
