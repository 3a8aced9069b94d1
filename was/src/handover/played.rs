//! Redis and Kafka as tests play them for whoever hands on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use protocol::{DeliveryHeaders, Home, PushRecord, RoomId, Seq, Target, UserId};
use routing::decide::{Slot, Table, View};
use routing::{Held, HomeState, Route, RoutingError};
use service::kafka::{Delivery, Outgoing, Placed, ProduceError, Publish, Topics};
use service::metrics::Metrics;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Handover, Whereabouts};
use crate::custody::Orphan;
use crate::metrics::Observed;

pub(crate) const LEASE: Duration = Duration::from_secs(2);

pub(crate) fn user(id: i64) -> UserId {
    UserId::new(id).unwrap()
}

pub(crate) fn orphan(id: i64, seq: i64) -> Orphan {
    Orphan {
        user: user(id),
        room: RoomId::new(7).unwrap(),
        seq: Seq::new(seq).unwrap(),
    }
}

pub(crate) fn route(home: i32, incarnation: i64) -> Route {
    Route {
        home: Home(home),
        incarnation,
        session: Uuid::new_v4(),
    }
}

/// Homes with the number of their last claim, and whether its lease stands.
pub(crate) fn view(homes: &[(i64, bool)]) -> View {
    let slots = (1..).zip(homes).map(|(home, (claim, live))| Slot {
        partition: Home(home),
        owner: Some(format!("was-{home}")),
        claim: *claim,
        ttl_left: if *live { LEASE } else { Duration::ZERO },
    });
    View {
        table: Table {
            read_at: Duration::ZERO,
            members: Vec::new(),
            slots: slots.collect(),
        },
        grace_left: Duration::ZERO,
    }
}

/// Redis, played.
#[derive(Default)]
pub(crate) struct Played {
    pub(crate) routes: Mutex<HashMap<UserId, Vec<Route>>>,
    /// What a new look at the table shows; none: it can't be read, nor can the routes.
    pub(crate) table: Mutex<Option<View>>,
    pub(crate) looks: Mutex<usize>,
    pub(crate) pruned: Mutex<Vec<(UserId, Vec<Route>)>>,
}

pub(crate) fn away() -> RoutingError {
    RoutingError::Crowded { operation: "be" }
}

impl Whereabouts for Played {
    async fn current(&self, users: &[UserId]) -> Result<Vec<Arc<[Route]>>, RoutingError> {
        if self.table.lock().unwrap().is_none() {
            return Err(away());
        }
        let routes = self.routes.lock().unwrap();
        let of = |user| routes.get(user).cloned().unwrap_or_default().into();
        Ok(users.iter().map(of).collect())
    }

    async fn prune(&self, user: UserId, dead: &[Route]) -> Result<usize, RoutingError> {
        self.pruned.lock().unwrap().push((user, dead.to_vec()));
        Ok(dead.len())
    }

    async fn look(&self) -> Result<View, RoutingError> {
        *self.looks.lock().unwrap() += 1;
        self.table.lock().unwrap().clone().ok_or_else(away)
    }
}

/// Kafka, played: what it was given, and what it says to the next records.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) records: Mutex<Vec<Outgoing>>,
    /// At once, or in time.
    pub(crate) refusals: Mutex<Vec<(bool, ProduceError)>>,
}

impl Publish for Log {
    fn publish(&self, record: &Outgoing) -> Result<Delivery, ProduceError> {
        match self.refusals.lock().unwrap().pop() {
            Some((true, error)) => return Err(error),
            Some((false, error)) => return Ok(Delivery::known(Err(error))),
            None => {}
        }
        self.records.lock().unwrap().push(record.clone());
        let (partition, offset) = (0, 0);
        Ok(Delivery::known(Ok(Placed { partition, offset })))
    }
}

/// What became of an orphan, read from the records.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    To(i32, i64, Vec<i64>),
    Push(i64, i64),
}

impl Handover<Played, Log> {
    pub(crate) fn sent(&self) -> Vec<Sent> {
        let records = std::mem::take(&mut *self.publisher.records.lock().unwrap());
        records.iter().map(|record| self.read(record)).collect()
    }

    /// Waits until so many attempts have failed.
    pub(crate) async fn failures(&self, count: u64) {
        let failed = async {
            while self.observed.hand_on_failures.get() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let within = tokio::time::timeout(Duration::from_secs(20), failed).await;
        within.unwrap_or_else(|_| panic!("less than {count} attempts failed"));
    }

    fn read(&self, record: &Outgoing) -> Sent {
        if record.topic == *self.topics.push() {
            let (key, value) = (record.key.as_deref(), record.payload.as_deref());
            let push = PushRecord::decode(key, value).unwrap();
            assert!(push.check, "{push:?}");
            return Sent::Push(push.user.get(), push.seq.get());
        }
        assert_eq!(record.topic, *self.topics.receive());
        assert_eq!(record.payload, None);
        let slices = record.headers.iter();
        let headers = DeliveryHeaders::decode(slices.map(|(name, value)| (*name, &value[..])));
        let headers = headers.unwrap();
        assert!(!headers.blind);
        let Target::Users(users) = headers.target else {
            panic!("{headers:?}");
        };
        let users = users.iter().map(|user| user.get()).collect();
        Sent::To(record.partition.unwrap(), headers.seq.unwrap().get(), users)
    }

    pub(crate) fn stand(&self, id: i64, routes: &[Route]) {
        let mut table = self.routes.routes.lock().unwrap();
        table.insert(user(id), routes.to_vec());
    }
}

/// A gateway that holds home 1 under 10; home 2 is another's under 20, the lease of home 3 has ended
/// under 30.
pub(crate) fn handover() -> Handover<Played, Log> {
    let held = Held {
        home: Home(1),
        incarnation: 10,
        until: LEASE,
    };
    let view = view(&[(10, true), (20, true), (30, false)]);
    Handover {
        routes: Played {
            table: Mutex::new(Some(view.clone())),
            ..Played::default()
        },
        publisher: Log::default(),
        topics: Topics::new(""),
        registry: Arc::default(),
        state: watch::channel(HomeState::Held(held)).1,
        views: watch::channel(Some(Arc::new(view))).1,
        observed: Arc::new(Observed::new(&Metrics::new())),
        fatal: CancellationToken::new(),
    }
}
