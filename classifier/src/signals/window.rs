//! The signals of one window, coalesced. Pure.

use std::collections::{HashMap, HashSet};

use protocol::{RoomId, Seq, SignalKind, SignalRecord, UserId, VERSION};

/// Typing older than this is no news.
const TYPING_MS: i64 = 5_000;

/// Signals that are stored and sent together.
#[derive(Debug, Default)]
pub(super) struct Window {
    marks: HashMap<(RoomId, UserId), Seq>,
    typing: HashSet<(RoomId, UserId)>,
    taken: usize,
    /// Typing that came too late.
    pub(super) stale: u64,
    /// Not a signal.
    pub(super) undecodable: u64,
    /// Said again, or less, within the window.
    pub(super) coalesced: u64,
}

impl Window {
    /// Takes one record's value; `now` in ms since 1970.
    pub(super) fn take(&mut self, payload: &[u8], now: i64) {
        self.taken += 1;
        let signal = match serde_json::from_slice::<SignalRecord>(payload) {
            Ok(signal) if signal.v == VERSION => signal,
            _ => {
                self.undecodable += 1;
                return;
            }
        };
        let key = (signal.room, signal.sender);
        let news = match signal.kind {
            SignalKind::Typing if now.saturating_sub(signal.at) > TYPING_MS => {
                self.stale += 1;
                return;
            }
            SignalKind::Typing => self.typing.insert(key),
            SignalKind::Read { seq } => match self.marks.get_mut(&key) {
                None => self.marks.insert(key, seq).is_none(),
                Some(mark) => {
                    *mark = seq.max(*mark);
                    false
                }
            },
        };
        self.coalesced += u64::from(!news);
    }

    /// How many records it holds, whatever became of them.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// The highest mark of each user and room.
    pub(super) fn marks(&self) -> impl Iterator<Item = (RoomId, UserId, Seq)> + '_ {
        let marks = self.marks.iter();
        marks.map(|((room, user), seq)| (*room, *user, *seq))
    }

    /// Who is typing where.
    pub(super) fn typing(&self) -> impl Iterator<Item = (RoomId, UserId)> + '_ {
        self.typing.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(at: i64, kind: SignalKind) -> Vec<u8> {
        serde_json::to_vec(&SignalRecord {
            v: VERSION,
            room: RoomId::new(1).unwrap(),
            sender: UserId::new(2).unwrap(),
            at,
            kind,
        })
        .unwrap()
    }

    #[test]
    fn the_highest_mark_of_a_window_wins() {
        let mut window = Window::default();
        for seq in [3, 9, 5] {
            let seq = Seq::new(seq).unwrap();
            window.take(&signal(0, SignalKind::Read { seq }), 1_000_000);
        }
        let marks: Vec<_> = window.marks().map(|(.., seq)| seq.get()).collect();
        assert_eq!(marks, [9]);
        assert_eq!(window.coalesced, 2);
    }

    #[test]
    fn typing_older_than_five_seconds_is_dropped() {
        let mut window = Window::default();
        window.take(&signal(10_000, SignalKind::Typing), 15_001);
        assert_eq!((window.typing().count(), window.stale), (0, 1));
        window.take(&signal(10_000, SignalKind::Typing), 15_000);
        assert_eq!(window.typing().count(), 1);
    }

    #[test]
    fn garbage_is_counted_and_nothing_else() {
        let mut window = Window::default();
        window.take(b"\xff{}", 0);
        assert_eq!((window.taken(), window.undecodable), (1, 1));
    }
}
