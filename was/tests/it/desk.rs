//! Where the classifier would sit: reads `chat-send`, writes rooms, sends to homes.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use protocol::{
    Command, DeliveryHeaders, Event, EventKind, Lane, MessageId, Role, RoomId, RoomKind, Seq,
    ServerFrame, UserId,
};
use routing::{Markers, Redis, Route, RouteTable};
use service::kafka::{Consumer, Feed, Outgoing, Producer, Topics};
use store::{Batch, Claim, LaneAdvance, StayOpened, Store};

use crate::house::{House, PATIENCE, until};

pub(crate) struct Desk {
    store: Store,
    claim: Claim,
    producer: Producer,
    topics: Topics,
    pub(crate) routes: RouteTable,
    redis: Redis,
    lanes: Vec<Feed>,
    heads: HashMap<i64, i64>,
}

pub(crate) fn user(id: i64) -> UserId {
    UserId::new(id).unwrap()
}

pub(crate) fn room(id: i64) -> RoomId {
    RoomId::new(id).unwrap()
}

pub(crate) fn seq(n: i64) -> Seq {
    Seq::new(n).unwrap()
}

impl Desk {
    pub(crate) async fn open(house: &House) -> Self {
        let claim = house
            .store
            .claim("desk", Lane(0), "topic", Duration::from_secs(600))
            .await;
        let consumer = Consumer::start(&house.kafka, "desk", "desk").unwrap();
        let topics = house.kafka.topics();
        let lanes = (0..2)
            .map(|lane| consumer.add(topics.send(), lane, 0).unwrap())
            .collect();
        let redis = house.redis();
        Self {
            store: house.store.clone(),
            claim: claim.unwrap().expect("the lane is free"),
            producer: Producer::start(&house.kafka, "desk", PATIENCE).unwrap(),
            topics,
            routes: RouteTable::new(&redis),
            redis,
            lanes,
            heads: HashMap::new(),
        }
    }

    /// Another process's view of the markers.
    pub(crate) fn markers(&self) -> Markers {
        Markers::new(&self.redis)
    }

    async fn append(&mut self, events: Vec<Event>, opened: Vec<StayOpened>) {
        let applied = self.claim.applied + 1;
        let batch = Batch {
            owner: "desk".to_owned(),
            lease: Duration::from_secs(600),
            lanes: vec![LaneAdvance {
                lane: Lane(0),
                epoch: self.claim.epoch,
                expected_applied: self.claim.applied,
                applied,
                routed: self.claim.routed,
            }],
            events,
            opened,
            ..Batch::default()
        };
        self.store.append(&batch).await.unwrap();
        self.claim.applied = applied;
    }

    fn event(&mut self, r: i64, from: i64, kind: EventKind) -> Event {
        let head = self.heads.entry(r).or_default();
        *head += 1;
        Event {
            room: room(r),
            seq: seq(*head),
            id: MessageId::new_v4(),
            from: user(from),
            at: 1_700_000_000_000,
            kind,
        }
    }

    /// A group; its `created` event has seq 1.
    pub(crate) async fn create(&mut self, r: i64, members: &[i64]) {
        let members: Vec<UserId> = members.iter().map(|&id| user(id)).collect();
        let kind = EventKind::Created {
            room_kind: RoomKind::Group,
            name: "room".to_owned(),
            members: members.clone(),
        };
        let event = self.event(r, members[0].get(), kind);
        let opened = members
            .iter()
            .map(|&user| StayOpened {
                room: room(r),
                user,
                joined_seq: seq(1),
                role: Role::Member,
            })
            .collect();
        self.append(vec![event], opened).await;
    }

    /// Stores messages without sending them anywhere.
    pub(crate) async fn store(&mut self, r: i64, from: i64, bodies: &[&str]) -> Vec<Event> {
        let events: Vec<Event> = bodies
            .iter()
            .map(|body| self.event(r, from, EventKind::message((*body).to_owned())))
            .collect();
        self.append(events.clone(), Vec::new()).await;
        events
    }

    /// The routes of a user, once there are `count`.
    pub(crate) async fn routes_of(&self, id: i64, count: usize) -> Vec<Route> {
        until("routes", || async {
            let found = self.routes.current(&[user(id)]).await;
            let routes = found.map_err(|e| e.to_string())?[0].to_vec();
            if routes.len() == count {
                Ok(routes)
            } else {
                Err(format!("{routes:?}"))
            }
        })
        .await
    }

    /// The one route of a user, once it is of a later claim than `before`.
    pub(crate) async fn newer_route(&self, id: i64, before: &Route) -> Route {
        until("a route of a later claim", || async {
            let found = self.routes.current(&[user(id)]).await;
            let found = found.map_err(|error| error.to_string())?;
            match *found[0] {
                [route] if route.incarnation > before.incarnation => Ok(route),
                ref routes => Err(format!("{routes:?}")),
            }
        })
        .await
    }

    /// Sends an event to a home, for these users.
    pub(crate) async fn send(&self, home: protocol::Home, event: &Event, to: &[i64]) {
        let to = to.iter().map(|&id| user(id)).collect();
        let headers = DeliveryHeaders::event(event.room, event.seq, to);
        self.record(home, &headers, event.to_frame()).await;
    }

    pub(crate) async fn record(
        &self,
        home: protocol::Home,
        headers: &DeliveryHeaders,
        frame: Bytes,
    ) {
        let record = Outgoing {
            partition: Some(home.0),
            headers: headers.encode(),
            payload: Some(frame),
            ..Outgoing::to(self.topics.receive())
        };
        self.producer.send(&record).unwrap().await.unwrap();
    }

    /// Answers a command's origin.
    pub(crate) async fn answer(&self, command: &Command, frame: &ServerFrame) {
        let origin = command.origin.unwrap();
        let headers = DeliveryHeaders::answer(origin.session);
        self.record(origin.home, &headers, frame.encode()).await;
    }

    /// The next command of any lane, with its record's key.
    pub(crate) async fn command(&mut self) -> (Command, Bytes) {
        let [one, other] = self.lanes.as_mut_slice() else {
            panic!("two lanes")
        };
        let record = tokio::time::timeout(PATIENCE, async {
            tokio::select! {
                record = one.recv() => record,
                record = other.recv() => record,
            }
        });
        let record = record.await.expect("a command in time").unwrap();
        let command = Command::decode(record.payload.as_deref().unwrap()).unwrap();
        (command, record.key.unwrap())
    }
}
