//! Who is in which room, and when which message is due. Pure.

use std::time::Duration;

use protocol::MessageId;

/// Rooms of `size` among `users`, each user in one room; who is left over forms a smaller last room, or joins the room
/// before when alone.
#[must_use]
pub(crate) fn rooms(users: usize, size: usize) -> Vec<Vec<usize>> {
    let everyone: Vec<usize> = (0..users).collect();
    let mut rooms: Vec<Vec<usize>> = everyone
        .chunks(size.max(2))
        .map(<[usize]>::to_vec)
        .collect();
    if rooms.len() > 1 && rooms.last().is_some_and(|room| room.len() == 1) {
        let alone = rooms.pop().unwrap_or_default();
        if let Some(last) = rooms.last_mut() {
            last.extend(alone);
        }
    }
    rooms
}

/// When the message with that number is due, from the start of an open loop at `rate` a second: whatever happened to
/// those before it.
#[must_use]
pub(crate) fn due(number: u64, rate: f64) -> Duration {
    #[expect(
        clippy::cast_precision_loss,
        reason = "numbers of messages stay far below 2^52"
    )]
    let number = number as f64;
    Duration::from_secs_f64(number / rate)
}

/// Whether a message is part of what is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Before the measured time.
    WarmUp,
    /// Within it.
    Measured,
}

/// An id that says when its message was due (µs on the run's own clock) and in which phase, so that no table is needed
/// to know a latency when `accepted` or the message comes back. A UUID of version 8, unique by 62 random bits.
#[must_use]
pub(crate) fn id(due_us: u64, phase: Phase, random: u64) -> MessageId {
    let measured = u128::from(phase == Phase::Measured);
    let due = u128::from(due_us & 0xFFFF_FFFF_FFFF);
    let random = u128::from(random & 0x3FFF_FFFF_FFFF_FFFF);
    MessageId::from_u128(due << 80 | 0x8 << 76 | measured << 64 | 0b10 << 62 | random)
}

/// What [`id`] put in.
#[must_use]
pub(crate) fn read_id(id: MessageId) -> (u64, Phase) {
    let (high, _) = id.as_u64_pair();
    (
        high >> 16,
        if high & 1 == 1 {
            Phase::Measured
        } else {
            Phase::WarmUp
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_is_in_one_room_and_nobody_alone() {
        assert_eq!(rooms(4, 2), [vec![0, 1], vec![2, 3]]);
        assert_eq!(rooms(5, 2), [vec![0, 1], vec![2, 3, 4]]);
        assert_eq!(rooms(7, 5), [vec![0, 1, 2, 3, 4], vec![5, 6]]);
        assert_eq!(rooms(3, 100), [vec![0, 1, 2]]);
    }

    #[test]
    fn due_times_are_even_and_do_not_drift() {
        assert_eq!(due(0, 500.0), Duration::ZERO);
        assert_eq!(due(500_000, 500.0), Duration::from_secs(1000));
    }

    #[test]
    fn ids_carry_their_due_time() {
        for phase in [Phase::WarmUp, Phase::Measured] {
            for due in [0, 1, 123_456_789, 0xFFFF_FFFF_FFFF] {
                let id = id(due, phase, u64::MAX);
                assert_eq!(read_id(id), (due, phase));
                assert_eq!(id.get_version_num(), 8);
            }
        }
        assert_ne!(id(1, Phase::Measured, 1), id(1, Phase::Measured, 2));
    }
}
