//! A user's device: the client library's real outbox, and what its task does around it.

use std::collections::BTreeMap;
use std::time::Duration;

use client::outbox::{Ask, Outbox, Pending};
use protocol::{Address, ClientFrame, RejectCode, RoomId, Seq, ServerFrame, UserId};
use tokio::time::Instant;

use crate::frames::entry;
use crate::world::{Down, Event, Up, World};

/// An unanswered command is sent again after this.
const RESEND: Duration = Duration::from_secs(3);

/// A socket.
#[derive(Debug, Clone, Copy)]
pub struct Connection {
    /// Whose.
    pub device: usize,
    /// To which gateway.
    pub gateway: usize,
    /// In which of its lives.
    pub life: u64,
    /// Its session there.
    pub session: Address,
    /// When what was sent last arrives: nothing overtakes on a socket.
    up_at: u64,
    down_at: u64,
}

/// One device.
#[derive(Debug)]
pub struct Device {
    /// Whose.
    pub user: UserId,
    /// The connection that it listens to.
    pub connection: Option<u64>,
    /// It was welcomed on it.
    pub greeted: bool,
    /// It was welcomed once at least.
    pub known: bool,
    /// It never comes back.
    pub gone: bool,
    /// What is not answered yet.
    pub outbox: Outbox,
    /// The last seq seen, by room.
    pub cursors: BTreeMap<RoomId, Seq>,
    pause: u64,
    outbox_at: u64,
}

impl Device {
    /// A device that was never connected.
    pub fn new(user: UserId) -> Self {
        Self {
            user,
            connection: None,
            greeted: false,
            known: false,
            gone: false,
            outbox: Outbox::new(1_000, RESEND),
            cursors: BTreeMap::new(),
            pause: 0,
            outbox_at: u64::MAX,
        }
    }
}

impl World {
    /// Tries to connect to one of the gateways.
    pub fn connect(&mut self, device: usize) {
        if self.devices[device].connection.is_some() || self.devices[device].gone {
            return;
        }
        let n = self.chance.place(self.gateways.len());
        if !self.gateways[n].serves(self.now) {
            return self.after(50, 500, Event::Connect(device));
        }
        let (number, session) = (self.number(), self.uuid());
        let connection = Connection {
            device,
            gateway: n,
            life: self.gateways[n].life.number,
            session,
            up_at: 0,
            down_at: 0,
        };
        self.connections.insert(number, connection);
        let there = &mut self.devices[device];
        (there.connection, there.greeted) = (Some(number), false);
        let cursors = there.cursors.clone();
        self.note(format!("device {device} connects to {n} from {cursors:?}"));
        let hello = ClientFrame::Hello {
            token: String::new(),
            device: device.to_string(),
            cursors,
        };
        self.send_up(number, Up::Frame(hello));
    }

    /// The client gives the connection up; `told`: its gateway gets to know.
    pub fn hang_up(&mut self, device: usize, told: bool) {
        let there = &mut self.devices[device];
        there.greeted = false;
        if let Some(number) = there.connection.take() {
            if told {
                self.send_up(number, Up::Gone);
            }
            let pause = self.devices[device].pause;
            self.devices[device].pause = 0;
            self.after(pause + 1, pause + 300, Event::Connect(device));
        }
    }

    /// The user is away from here on, perhaps without a word: the socket stays half open.
    pub fn leave(&mut self, device: usize) {
        let told = self.chance.one_in(4);
        self.note(format!("device {device} leaves for good, told: {told}"));
        self.devices[device].gone = true;
        self.hang_up(device, told);
    }

    fn send_up(&mut self, number: u64, up: Up) {
        let latency = self.chance.between(1, 15);
        let now = self.now;
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.up_at = connection.up_at.max(now + latency);
            let time = connection.up_at;
            self.at(time, Event::Up(number, up));
        }
    }

    /// Sends something to the client's end.
    pub fn send_down(&mut self, number: u64, down: Down) {
        let latency = self.chance.between(1, 15);
        let now = self.now;
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.down_at = connection.down_at.max(now + latency);
            let time = connection.down_at;
            self.at(time, Event::Down(number, down));
        }
    }

    /// Something reaches the client.
    pub fn down(&mut self, number: u64, down: Down) {
        let Some(connection) = self.connections.get(&number).copied() else {
            return;
        };
        let device = connection.device;
        let listens = self.devices[device].connection == Some(number);
        match down {
            Down::Closed => {
                if listens {
                    self.hang_up(device, false);
                }
                self.connections.remove(&number);
            }
            // A client that went away without a word answers nothing.
            _ if !listens => {}
            Down::Ping(count) => self.send_up(number, Up::Pong(count)),
            Down::Frame(frame) => {
                if let Some(entry) = entry(&frame) {
                    self.arrives(device, &entry);
                } else if let Ok(frame) = serde_json::from_slice::<ServerFrame>(&frame) {
                    self.told(device, frame);
                }
            }
        }
    }

    fn arrives(&mut self, device: usize, entry: &crate::frames::Entry) {
        let seen = entry.seen();
        let there = &mut self.devices[device];
        let cursor = there.cursors.insert(seen.room, seen.seq);
        if entry.from == there.user {
            there.outbox.settle(seen.id);
        }
        let user = there.user;
        let arrived = self.truth.arrived(user, cursor, seen);
        self.note(format!("device {device} sees {}:{}", seen.room, seen.seq));
        self.check(arrived);
    }

    fn told(&mut self, device: usize, frame: ServerFrame) {
        let now = Instant::from_std(self.instant(self.now));
        let there = &mut self.devices[device];
        match frame {
            ServerFrame::Welcome {
                cursors, limits, ..
            } => {
                for (room, seq) in cursors {
                    there.cursors.entry(room).or_insert(seq);
                }
                (there.greeted, there.known) = (true, true);
                let (rate, burst) = (limits.rate_per_second, limits.rate_burst);
                there.outbox.reconnected(now, rate, burst);
                self.look_at_outbox(device);
            }
            ServerFrame::Accepted { id } => {
                self.truth.accepted.insert(id);
            }
            ServerFrame::Stored { id, room, seq } => {
                there.outbox.settle(id);
                let log = self.truth.rooms.get(&room);
                let event = log.and_then(|log| log.events.iter().find(|event| event.seq == seq));
                if event.map(|event| event.id) != Some(id) {
                    self.check(Err(format!("I2: {id} is not stored as {room}:{seq}")));
                }
            }
            ServerFrame::Rejected { id, code, .. } => {
                if code == RejectCode::Unavailable {
                    there.outbox.postpone(id, now, Duration::from_millis(250));
                    self.look_at_outbox(device);
                } else {
                    there.outbox.settle(id);
                }
            }
            ServerFrame::Bye { retry_after_ms, .. } => there.pause = retry_after_ms.min(2_000),
            ServerFrame::CursorClamped { room, head } => {
                there.cursors.insert(room, head);
            }
            ServerFrame::Gap { room, .. } => {
                self.check(Err(format!("I5: a gap in {room}, with nothing too old")));
            }
            _ => {}
        }
    }

    /// The user says something.
    pub fn say(&mut self, device: usize, room: RoomId) {
        let id = self.uuid();
        let ask = Ask::Send {
            body: "hello".to_owned(),
        };
        let full = self.devices[device].outbox.push(Pending { room, id, ask });
        if full.is_ok() {
            self.look_at_outbox(device);
        }
    }

    fn look_at_outbox(&mut self, device: usize) {
        let now = Instant::from_std(self.instant(self.now));
        let Some(next) = self.devices[device].outbox.next_due(now) else {
            return;
        };
        let time = self.ms_of(next.into_std()).max(self.now);
        if time < self.devices[device].outbox_at {
            self.devices[device].outbox_at = time;
            self.at(time, Event::Outbox(device));
        }
    }

    /// Writes what is due.
    pub fn outbox(&mut self, device: usize) {
        self.devices[device].outbox_at = u64::MAX;
        let there = &mut self.devices[device];
        let (Some(number), true) = (there.connection, there.greeted) else {
            return;
        };
        let now = Instant::from_std(self.instant(self.now));
        for due in self.devices[device].outbox.due(now) {
            let Ask::Send { body } = due.pending.ask else {
                continue;
            };
            let frame = ClientFrame::Send {
                room: due.pending.room,
                id: due.pending.id,
                body,
                retry: due.retry,
            };
            self.send_up(number, Up::Frame(frame));
        }
        self.look_at_outbox(device);
    }
}
