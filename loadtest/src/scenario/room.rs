//! The rooms of a scenario, each with its ledger.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use protocol::RoomId;

use crate::oracle::Ledger;

/// A room and what happened in it.
#[derive(Debug)]
pub struct Room {
    /// Its id.
    pub id: RoomId,
    /// Its members who send, as indices of the scenario's sessions.
    pub members: Vec<usize>,
    /// Further members who only receive, and are gone for good one day.
    pub leaving: Vec<usize>,
    /// Further members who are never connected.
    pub absent: Vec<usize>,
    /// Its judge.
    pub ledger: Mutex<Ledger>,
}

/// All rooms, by id: read with every arrival, written when one is made.
#[derive(Debug, Default)]
pub(crate) struct Rooms(RwLock<HashMap<RoomId, Arc<Room>>>);

impl Rooms {
    pub(crate) fn add(&self, room: Arc<Room>) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(room.id, room);
    }

    pub(crate) fn get(&self, id: RoomId) -> Option<Arc<Room>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned()
    }
}
