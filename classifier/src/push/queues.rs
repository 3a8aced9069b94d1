//! What waits for each user, and whose turn it is. Pure.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use protocol::UserId;

/// So many may wait behind a user's delivery that fails. With more it is tried no longer: a partition is
/// read only so far beyond what is not done, and the others' pushes would wait for one user's (I9).
const BEHIND: usize = 1_000;

/// A queue for each user: one delivery of a user is under way at a time, so that what comes later
/// is never told earlier; users take turns.
#[derive(Debug)]
pub(super) struct Queues<T> {
    waiting: HashMap<UserId, Queue<T>>,
    /// Users with something to deliver and nothing under way, in the order of their turns.
    turns: VecDeque<UserId>,
    len: usize,
}

#[derive(Debug)]
struct Queue<T> {
    items: VecDeque<T>,
    under_way: usize,
    /// Of the delivery that is under way.
    crowded: Crowded,
}

/// Whether too many wait behind a delivery.
#[derive(Debug, Clone, Default)]
pub(super) struct Crowded(pub(super) Arc<AtomicBool>);

impl Crowded {
    /// Whether there are too many by now.
    pub(super) fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn look(&self, waiting: usize) {
        self.0.fetch_or(waiting > BEHIND, Ordering::Relaxed);
    }
}

impl<T> Default for Queues<T> {
    fn default() -> Self {
        Self {
            waiting: HashMap::new(),
            turns: VecDeque::new(),
            len: 0,
        }
    }
}

impl<T> Queues<T> {
    /// Items that wait or are under way.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether there is anything that may start.
    pub(super) fn has_turn(&self) -> bool {
        !self.turns.is_empty()
    }

    /// One more for a user.
    pub(super) fn push(&mut self, user: UserId, item: T) {
        let queue = self.waiting.entry(user).or_insert_with(|| Queue {
            items: VecDeque::new(),
            under_way: 0,
            crowded: Crowded::default(),
        });
        if queue.items.is_empty() && queue.under_way == 0 {
            self.turns.push_back(user);
        }
        queue.items.push_back(item);
        queue.crowded.look(queue.items.len());
        self.len += 1;
    }

    /// The next delivery: the oldest of a user, at most `most`.
    pub(super) fn start(&mut self, most: usize) -> Option<(UserId, Vec<T>, Crowded)> {
        let user = self.turns.pop_front()?;
        let queue = self.waiting.get_mut(&user)?;
        let items: Vec<T> = queue.items.drain(..most.min(queue.items.len())).collect();
        queue.under_way = items.len();
        queue.crowded = Crowded::default();
        queue.crowded.look(queue.items.len());
        Some((user, items, queue.crowded.clone()))
    }

    /// The user's delivery has ended; who has more waits for the next turn.
    pub(super) fn end(&mut self, user: UserId) {
        let Some(queue) = self.waiting.get_mut(&user) else {
            return;
        };
        self.len -= std::mem::take(&mut queue.under_way);
        if queue.items.is_empty() {
            self.waiting.remove(&user);
        } else {
            self.turns.push_back(user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: i64) -> UserId {
        UserId::new(id).unwrap()
    }

    fn start<T>(queues: &mut Queues<T>, most: usize) -> Option<(UserId, Vec<T>)> {
        queues.start(most).map(|(user, items, _)| (user, items))
    }

    #[test]
    fn a_user_has_one_delivery_at_a_time_and_in_order() {
        let mut queues = Queues::default();
        for n in 1..=3 {
            queues.push(user(1), n);
        }
        assert_eq!(start(&mut queues, 2), Some((user(1), vec![1, 2])));
        queues.push(user(1), 4);
        assert_eq!(start(&mut queues, 2), None);
        assert_eq!(queues.len(), 4);
        queues.end(user(1));
        assert_eq!(queues.len(), 2);
        assert_eq!(start(&mut queues, 9), Some((user(1), vec![3, 4])));
        queues.end(user(1));
        assert_eq!(queues.len(), 0);
        assert_eq!(start(&mut queues, 9), None);
    }

    /// I9: a delivery hears of it when too many wait behind it, and the next one begins anew.
    #[test]
    fn i9_too_many_behind_a_delivery_are_told_to_it() {
        let mut queues = Queues::default();
        queues.push(user(1), 0);
        queues.push(user(2), 0);
        let (_, _, first) = queues.start(1).unwrap();
        let (_, _, other) = queues.start(1).unwrap();
        for n in 1..=BEHIND {
            queues.push(user(1), n);
        }
        assert!(!first.is_so());
        queues.push(user(1), BEHIND + 1);
        assert!(first.is_so() && !other.is_so());
        queues.end(user(1));
        let (_, items, second) = queues.start(1).unwrap();
        assert_eq!(items, [1]);
        assert!(!second.is_so(), "as many as may wait");
        queues.push(user(1), BEHIND + 2);
        queues.end(user(1));
        queues.push(user(1), BEHIND + 3);
        let (_, _, third) = queues.start(1).unwrap();
        assert!(third.is_so(), "from the beginning");
    }

    /// Who has much to be told keeps nobody waiting for all of it.
    #[test]
    fn users_take_turns() {
        let mut queues = Queues::default();
        for (id, n) in [(1, 1), (1, 2), (2, 3), (1, 4)] {
            queues.push(user(id), n);
        }
        let mut order = Vec::new();
        while let Some((id, items)) = start(&mut queues, 1) {
            order.extend(items);
            queues.end(id);
        }
        assert_eq!(order, [1, 3, 2, 4]);
    }
}
