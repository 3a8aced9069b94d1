//! What users do, and what breaks.

use protocol::{Command, CommandKind, RoomId, RoomKind, UserId, VERSION};

use routing::Shard;

use crate::redis::gateway_name;
use crate::world::{Event, Server, World};

impl World {
    /// A command from elsewhere: a REST request of which nobody waits for the outcome.
    pub fn command(&mut self, room: RoomId, sender: UserId, kind: CommandKind) {
        let command = Command {
            v: VERSION,
            room,
            sender,
            id: self.uuid(),
            retry: false,
            at: 0,
            origin: None,
            kind,
        };
        self.append_to_lane(&command);
    }

    /// Rooms of everybody.
    pub fn found_rooms(&mut self, rooms: &[RoomId], users: &[UserId]) {
        for room in rooms {
            let kind = CommandKind::Create {
                room_kind: RoomKind::Group,
                name: "g".to_owned(),
                members: users.to_vec(),
            };
            self.command(*room, users[0], kind);
        }
    }

    /// Somebody says something, or is removed, or comes back.
    pub fn talk(&mut self) {
        if self.calm {
            return;
        }
        self.after(1, 300, Event::Talk);
        let rooms: Vec<RoomId> = self.truth.rooms.keys().copied().collect();
        if rooms.is_empty() {
            return;
        }
        let room = rooms[self.chance.place(rooms.len())];
        let device = self.chance.place(self.devices.len());
        // Where a device begins in a room is only known once it was told.
        let known = self
            .devices
            .iter()
            .all(|device| device.known || device.gone);
        let (owner, user) = (self.devices[0].user, self.devices[device].user);
        if known && user != owner && self.chance.one_in(12) {
            let kind = match self.chance.one_in(2) {
                true => CommandKind::Add { user },
                false => CommandKind::Remove { user },
            };
            return self.command(room, owner, kind);
        }
        let count = self.chance.between(1, 4);
        if !self.devices[device].gone {
            (0..count).for_each(|_| self.say(device, room));
        }
    }

    /// Something breaks.
    pub fn fault(&mut self) {
        if self.calm {
            return;
        }
        self.after(50, 1_500, Event::Fault);
        let gateway = self.chance.place(self.gateways.len());
        let classifier = self.chance.place(self.classifiers.len());
        let device = self.chance.place(self.devices.len());
        let long = self.now + self.chance.between(50, 4_000);
        match self.chance.between(0, 16) {
            0 if self.gateways[gateway].life.up => {
                self.note(format!("{} is killed", gateway_name(gateway)));
                self.kill_gateway(gateway);
            }
            1 if self.gateways[gateway].life.up => {
                self.note(format!("{} is stopped", gateway_name(gateway)));
                self.stop_gateway(gateway);
            }
            0 | 1 => self.start_gateway(gateway),
            2 => {
                self.note(format!("{} stands still", gateway_name(gateway)));
                self.gateways[gateway].life.paused_until = long;
                self.give_up(gateway);
            }
            3 if self.classifiers[classifier].life.up => {
                self.note(format!("classifier-{classifier} is killed"));
                self.classifiers[classifier].life.up = false;
            }
            4 if self.classifiers[classifier].life.up => {
                self.note(format!("classifier-{classifier} is stopped"));
                self.stop_classifier(classifier);
            }
            3 | 4 => self.start_classifier(classifier),
            5 => {
                self.note(format!("classifier-{classifier} stands still"));
                self.classifiers[classifier].life.paused_until = long;
            }
            6 => {
                self.note("redis is away".to_owned());
                self.away.redis = long;
            }
            7 => {
                self.note("postgres is away".to_owned());
                self.away.postgres = long;
            }
            8 => {
                self.note("kafka is away".to_owned());
                self.away.kafka = long;
            }
            9 if self.chance.one_in(2) => {
                let shard = Shard::of(self.devices[device].user);
                self.note(format!("redis has lost the memory of shard {shard}"));
                self.redis.empty_shard(shard);
            }
            9 => {
                self.note("redis has lost its memory".to_owned());
                self.redis.empty(self.now);
                // Somebody arrives who had no home in it.
                if self.chance.one_in(3) {
                    self.kill_gateway(gateway);
                    self.start_gateway(gateway);
                }
            }
            10 if self.audits => {
                let user = self.devices[device].user;
                self.note(format!("the routes of {user} are lost"));
                self.redis.forget(user);
            }
            11 => {
                let records = self.chance.place(20);
                self.note(format!("{} reads {records} again", gateway_name(gateway)));
                self.reread_home(gateway, records);
            }
            12 if self.forgets => {
                let tables = Box::new(self.postgres.tables().clone());
                self.after(20, 400, Event::Server(Server::Restore(tables)));
            }
            // Routes that were lost so are found by the audit alone.
            13 if self.audits => {
                let copy = Box::new(self.redis.clone());
                self.after(20, 1_000, Event::Server(Server::FailOver(copy)));
            }
            _ => {
                let told = self.chance.one_in(2);
                self.note(format!("device {device} hangs up, told: {told}"));
                self.hang_up(device, told);
            }
        }
    }

    /// Half of the clients of a gateway that stands still don't wait for it.
    fn give_up(&mut self, gateway: usize) {
        for device in 0..self.devices.len() {
            let connection = self.devices[device].connection;
            let there = connection.and_then(|number| self.connections.get(&number));
            if there.is_some_and(|there| there.gateway == gateway) && self.chance.one_in(2) {
                self.hang_up(device, false);
            }
        }
    }

    /// Faults end: everything that stands still or is gone comes back.
    pub fn calm_down(&mut self) {
        self.note("faults are over".to_owned());
        self.calm = true;
        self.away = crate::world::Away::default();
        for n in 0..self.gateways.len() {
            self.gateways[n].life.paused_until = 0;
            if !self.gateways[n].life.up {
                self.start_gateway(n);
            }
        }
        for n in 0..self.classifiers.len() {
            self.classifiers[n].life.paused_until = 0;
            if !self.classifiers[n].life.up {
                self.start_classifier(n);
            }
        }
    }
}
