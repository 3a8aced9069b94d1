//! The signals of one window, coalesced. Pure.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use protocol::{DlqReason, Lane, RoomId, Seq, SignalKind, SignalRecord, UserId};

use crate::ports::Incoming;

/// Typing older than this is no news.
const TYPING_MS: i64 = 5_000;

/// The most records in a window.
const MAX_SIGNALS: usize = 2_000;
/// The most bytes of poison in a window, but for the last one.
const MAX_POISON_BYTES: usize = 1024 * 1024;

/// Signals that are stored and sent together.
#[derive(Debug, Default)]
pub(super) struct Window {
    marks: HashMap<(RoomId, UserId), Seq>,
    typing: HashSet<(RoomId, UserId)>,
    taken: usize,
    /// Typing that came too late.
    pub(super) stale: u64,
    /// Not signals: for `chat-dlq`.
    pub(super) poison: Vec<Poison>,
    /// Said again, or less, within the window.
    pub(super) coalesced: u64,
}

/// A record that is no signal.
#[derive(Debug)]
pub(super) struct Poison {
    /// The lane that it was read from.
    pub(super) lane: Lane,
    /// As it came.
    pub(super) raw: Incoming,
    /// Why.
    pub(super) reason: DlqReason,
}

impl Window {
    /// Takes one record of a lane; `now` in ms since 1970.
    pub(super) fn take(&mut self, lane: Lane, raw: Incoming, now: i64) {
        self.taken += 1;
        let payload = raw.payload.as_deref().unwrap_or_default();
        let signal = match SignalRecord::decode(payload) {
            Ok(signal) => signal,
            Err(invalid) => {
                let reason = invalid.reason();
                self.poison.push(Poison { lane, raw, reason });
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

    /// Whether it takes no more: so many records, whatever became of them, or so much of what is kept
    /// as it came (I9).
    pub(super) fn is_full(&self) -> bool {
        let kept = self.poison.iter();
        let sizes = kept.map(|poison| poison.raw.payload.as_ref().map_or(0, Bytes::len));
        self.taken >= MAX_SIGNALS || sizes.sum::<usize>() >= MAX_POISON_BYTES
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
    use protocol::VERSION;

    fn raw(payload: Vec<u8>) -> Incoming {
        Incoming {
            payload: Some(payload.into()),
            ..Incoming::default()
        }
    }

    fn signal(at: i64, kind: SignalKind) -> Incoming {
        let payload = serde_json::to_vec(&SignalRecord {
            v: VERSION,
            room: RoomId::new(1).unwrap(),
            sender: UserId::new(2).unwrap(),
            at,
            kind,
        });
        raw(payload.unwrap())
    }

    #[test]
    fn the_highest_mark_of_a_window_wins() {
        let mut window = Window::default();
        for seq in [3, 9, 5] {
            let seq = Seq::new(seq).unwrap();
            window.take(Lane(0), signal(0, SignalKind::Read { seq }), 1_000_000);
        }
        let marks: Vec<_> = window.marks().map(|(.., seq)| seq.get()).collect();
        assert_eq!(marks, [9]);
        assert_eq!(window.coalesced, 2);
    }

    #[test]
    fn typing_older_than_five_seconds_is_dropped() {
        let mut window = Window::default();
        window.take(Lane(0), signal(10_000, SignalKind::Typing), 15_001);
        assert_eq!((window.typing().count(), window.stale), (0, 1));
        window.take(Lane(0), signal(10_000, SignalKind::Typing), 15_000);
        assert_eq!(window.typing().count(), 1);
    }

    /// I9: what is kept to be buried is bounded.
    #[test]
    fn i9_a_window_of_large_poison_is_full_early() {
        let mut window = Window::default();
        for n in 0..3 {
            assert!(!window.is_full(), "{n}");
            window.take(Lane(0), raw(vec![b'x'; MAX_POISON_BYTES / 3 + 1]), 0);
        }
        assert!(window.is_full());
    }
}
