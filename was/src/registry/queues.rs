//! What waits for the sockets, as metrics. Counted when it is asked for, so that a frame pays nothing.

use std::sync::Arc;

use service::metrics::Metrics;

use super::Registry;
use crate::socket::Bound;

/// What waits in all mailboxes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Waiting {
    frames: usize,
    bytes: usize,
    /// Of the fullest one, in frames or in bytes, whichever is nearer to its bound: 0 to 1.
    fullest: f64,
}

impl Registry {
    /// Adds `was_queue_frames`, `was_queue_bytes` and `was_queue_fullest_ratio`.
    pub fn measure(self: &Arc<Self>, metrics: &Metrics, bound: Bound) {
        let registry = Arc::clone(self);
        metrics.figures(
            [
                (
                    "was_queue_frames",
                    "Frames that wait for the sockets of sessions.",
                ),
                ("was_queue_bytes", "Bytes of these frames."),
                (
                    "was_queue_fullest_ratio",
                    "The fullest queue of a session as a share of its bound.",
                ),
            ],
            move || {
                let Waiting {
                    frames,
                    bytes,
                    fullest,
                } = registry.waiting(bound);
                [frames as f64, bytes as f64, fullest]
            },
        );
    }

    fn waiting(&self, bound: Bound) -> Waiting {
        let mut all = Waiting::default();
        // A copy: who enters or leaves waits for no count.
        for mailbox in self.mailboxes() {
            let (frames, bytes) = mailbox.waits();
            all.frames += frames;
            all.bytes += bytes;
            for (waits, most) in [(frames, bound.frames), (bytes, bound.bytes)] {
                all.fullest = all.fullest.max(waits as f64 / most.max(1) as f64);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use protocol::{Address, UserId};

    use super::*;
    use crate::socket::{Item, Mailbox};

    const BOUND: Bound = Bound {
        frames: 10,
        bytes: 1_000,
    };

    fn enter(registry: &Registry, user: i64) -> (UserId, Address, Arc<Mailbox>) {
        let (user, address) = (UserId::new(user).unwrap(), Address::new_v4());
        let mailbox = Arc::default();
        registry.enter(user, address, &mailbox);
        (user, address, mailbox)
    }

    /// Sums over all sessions, the fullest by frames or by bytes, and nothing any more once it is taken
    /// or its session has left.
    #[test]
    fn what_waits_is_counted() {
        let (registry, metrics) = (Arc::new(Registry::default()), Metrics::new());
        registry.measure(&metrics, BOUND);
        let told = |frames: usize, bytes: usize, fullest: f64| {
            let text = metrics.render();
            for line in [
                format!("was_queue_frames {frames}"),
                format!("was_queue_bytes {bytes}"),
                format!("was_queue_fullest_ratio {fullest}"),
            ] {
                assert!(text.lines().any(|one| one == line), "{line} in {text}");
            }
        };
        let frame = |len: usize| Item::Signal(Bytes::from(vec![b'x'; len]));
        let (ann, ben) = (enter(&registry, 1), enter(&registry, 2));
        told(0, 0, 0.0);
        for _ in 0..2 {
            ann.2.push(frame(10), BOUND);
        }
        told(2, 20, 0.2);
        ben.2.push(frame(500), BOUND);
        told(3, 520, 0.5);
        ben.2.take().unwrap();
        told(2, 20, 0.2);
        registry.leave(ann.0, ann.1);
        told(0, 0, 0.0);
        // What does not fit ends a session: nothing waits there any more.
        for _ in 0..=BOUND.frames {
            ben.2.push(frame(1), BOUND);
        }
        told(0, 0, 0.0);
    }
}
