//! What lies together: all keys of one hash tag, and so, in a cluster, in one slot.
//!
//! Every script and every request names keys of one place only, so that it can be done by one server.

use crate::markers::Shard;

/// How many slots a cluster has.
pub(crate) const SLOTS: u16 = 16_384;

/// A hash tag of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The routes of some users, and their marker.
    Routes(Shard),
    /// The table of homes.
    Homes,
}

impl Place {
    /// All there are.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Shard::all().map(Self::Routes).chain([Self::Homes])
    }

    /// Its position in [`Place::all`].
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Routes(shard) => usize::from(shard.number()),
            Self::Homes => 256,
        }
    }

    /// The slot of its keys: of a key with braces only what is between them counts, and a prefix of
    /// ours has none (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags>).
    pub(crate) fn slot(self) -> u16 {
        let slot = match self {
            Self::Routes(shard) => crc16(format!("r{}", shard.number()).as_bytes()),
            Self::Homes => crc16(b"homes"),
        };
        slot % SLOTS
    }
}

/// CRC16 as clusters use it (XMODEM: polynomial 0x1021, from 0, nothing reflected).
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc: u16, _| {
            let carried = crc & 0x8000 != 0;
            (crc << 1) ^ if carried { 0x1021 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The check value of the cluster's specification, and slots that a Redis 7 told (`CLUSTER KEYSLOT`).
    #[test]
    fn slots_are_those_of_redis() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(crc16(b"foo") % SLOTS, 12_182);
    }

    #[test]
    fn every_place_has_an_index_of_its_own() {
        let indices: Vec<usize> = Place::all().map(Place::index).collect();
        assert_eq!(indices, (0..257).collect::<Vec<_>>());
    }

    /// However many servers share the slots: the routes are on all of them.
    #[test]
    fn the_shards_are_spread_over_the_slots() {
        let sixteenths: BTreeSet<u16> = Place::all().map(|place| place.slot() / 1_024).collect();
        assert_eq!(sixteenths.len(), 16);
    }
}
