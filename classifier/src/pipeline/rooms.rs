//! The states of a lane's rooms, kept in memory because the lane has one fenced writer.

use std::collections::HashMap;

use protocol::RoomId;

use crate::room::Room;

/// Rooms that a lane remembers for sure; up to twice as many are kept. A state is some 5 KB at most, so
/// 24 lanes keep 240 MB at the very most.
const KEPT: usize = 1_000;

/// Bounded: two generations, of which the older is dropped when the younger is full. A room that is
/// used moves to the younger one. What is dropped is loaded again.
#[derive(Debug, Default)]
pub struct Rooms {
    young: HashMap<RoomId, Room>,
    old: HashMap<RoomId, Room>,
}

impl Rooms {
    /// The state as of the last commit, if it is remembered.
    pub fn get(&self, id: RoomId) -> Option<&Room> {
        self.young.get(&id).or_else(|| self.old.get(&id))
    }

    /// Replaces a room's state by the one that was just committed or loaded.
    pub fn put(&mut self, room: Room) {
        if self.young.len() >= KEPT {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&room.id);
        self.young.insert(room.id, room.trimmed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> RoomId {
        RoomId::new(i64::try_from(n).unwrap() + 1).unwrap()
    }

    /// I9.
    #[test]
    fn i9_the_number_of_rooms_is_bounded_and_used_ones_stay() {
        let mut rooms = Rooms::default();
        for n in 0..KEPT * 5 {
            rooms.put(Room::absent(id(n)));
            rooms.put(Room::absent(id(0)));
        }
        assert!(rooms.young.len() + rooms.old.len() <= 2 * KEPT);
        assert!(rooms.get(id(0)).is_some());
        assert!(rooms.get(id(1)).is_none());
    }
}
