//! librdkafka, played: it says where the gate gives it too much.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::kafka::gate::line::{JOIN, TOGETHER, TOGETHER_BYTES, UNDER_WAY};
use crate::kafka::gate::{Gate, Onward, Ticket};
use crate::kafka::{Delivery, Outgoing, Placed, ProduceError};

pub(super) const PATIENCE: Duration = Duration::from_secs(5);
pub(super) static BODY: [u8; 600_000] = [0; 600_000];

/// librdkafka, played.
#[derive(Default)]
struct Played(Mutex<State>);

#[derive(Default)]
struct State {
    under_way: Vec<(Option<i32>, u64, Box<Ticket>)>,
    /// The last record handed over, for each partition.
    last: HashMap<i32, u64>,
    /// What the next records are refused with.
    refusals: Vec<ProduceError>,
    /// What each partition was given since it had nothing under way: from when on, records and bytes.
    together: HashMap<i32, (Instant, usize, usize)>,
    now: Option<Instant>,
}

impl State {
    fn count(&self, partition: i32) -> usize {
        let of = |(at, ..): &&(Option<i32>, u64, Box<Ticket>)| *at == Some(partition);
        self.under_way.iter().filter(of).count()
    }
}

impl Onward for Played {
    fn hand_over(
        &self,
        record: &Outgoing,
        ticket: Box<Ticket>,
    ) -> Result<(), (ProduceError, Box<Ticket>)> {
        let mut state = self.0.lock().unwrap();
        if let Some(error) = state.refusals.pop() {
            return Err((error, ticket));
        }
        let n = u64::from_be_bytes(record.key.as_deref().unwrap().try_into().unwrap());
        if let Some(partition) = record.partition {
            let before = state.last.insert(partition, n);
            assert!(before < Some(n), "{n} after {before:?}");
            let count = state.count(partition);
            let now = state.now.unwrap();
            if count == 0 {
                state.together.insert(partition, (now, 0, 0));
            }
            let (since, records, bytes) = state.together.get_mut(&partition).unwrap();
            (*records, *bytes) = (*records + 1, *bytes + record.size());
            let joins = now - *since < JOIN && *records <= TOGETHER && *bytes <= TOGETHER_BYTES;
            assert!(joins || count < UNDER_WAY, "{count} under way one by one");
        }
        state.under_way.push((record.partition, n, ticket));
        Ok(())
    }
}

/// A gate in front of it.
pub(super) struct Bench {
    pub(super) gate: Gate,
    played: Arc<Played>,
    topic: Arc<str>,
    pub(super) deliveries: Vec<(u64, Delivery)>,
    pub(super) fates: HashMap<u64, Result<Placed, ProduceError>>,
    pub(super) sent: u64,
    now: Instant,
}

impl Bench {
    pub(super) fn new() -> Self {
        let mut bench = Self {
            gate: Gate::new(PATIENCE),
            played: Arc::default(),
            topic: "t".into(),
            deliveries: Vec::new(),
            fates: HashMap::new(),
            sent: 0,
            now: Instant::now(),
        };
        bench.pass(Duration::ZERO);
        bench
    }

    pub(super) fn send(
        &mut self,
        partition: Option<i32>,
        bytes: usize,
    ) -> Result<(), ProduceError> {
        self.sent += 1;
        let record = Outgoing {
            partition,
            key: Some(Bytes::copy_from_slice(&self.sent.to_be_bytes())),
            payload: Some(Bytes::from_static(&BODY[..bytes])),
            ..Outgoing::to(&self.topic)
        };
        let delivery = self.gate.send(&record, self.now, &*self.played)?;
        self.deliveries.push((self.sent, delivery));
        Ok(())
    }

    pub(super) fn tick(&self) {
        self.gate.tick(self.now, &*self.played);
    }

    pub(super) fn refuse(&self, error: ProduceError) {
        self.played.0.lock().unwrap().refusals.push(error);
    }

    pub(super) fn refuse_no_more(&self) {
        self.played.0.lock().unwrap().refusals.clear();
    }

    pub(super) fn under_way(&self) -> usize {
        self.played.0.lock().unwrap().under_way.len()
    }

    /// Time goes on.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.played.0.lock().unwrap().now = Some(self.now);
    }

    /// Answers one record; false if none is under way.
    pub(super) fn answer(&mut self, which: impl FnOnce(usize) -> usize, delivered: bool) -> bool {
        let mut state = self.played.0.lock().unwrap();
        if state.under_way.is_empty() {
            return false;
        }
        let at = which(state.under_way.len());
        let (partition, n, ticket) = state.under_way.remove(at);
        drop(state);
        let fate = match delivered {
            true => Ok(Placed {
                partition: partition.unwrap_or_default(),
                offset: n.cast_signed(),
            }),
            false => Err(ProduceError::TimedOut),
        };
        assert!(self.fates.insert(n, fate.clone()).is_none());
        let onward = || Some(Arc::clone(&self.played));
        self.gate.tell(*ticket, fate, self.now, onward);
        true
    }
}
