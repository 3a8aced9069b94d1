//! What waits for each user, and whose turn it is. Pure.

use std::collections::{HashMap, VecDeque};

use protocol::UserId;

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
        });
        if queue.items.is_empty() && queue.under_way == 0 {
            self.turns.push_back(user);
        }
        queue.items.push_back(item);
        self.len += 1;
    }

    /// The next delivery: the oldest of a user, at most `most`.
    pub(super) fn start(&mut self, most: usize) -> Option<(UserId, Vec<T>)> {
        let user = self.turns.pop_front()?;
        let queue = self.waiting.get_mut(&user)?;
        let items: Vec<T> = queue.items.drain(..most.min(queue.items.len())).collect();
        queue.under_way = items.len();
        Some((user, items))
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

    #[test]
    fn a_user_has_one_delivery_at_a_time_and_in_order() {
        let mut queues = Queues::default();
        for n in 1..=3 {
            queues.push(user(1), n);
        }
        assert_eq!(queues.start(2), Some((user(1), vec![1, 2])));
        queues.push(user(1), 4);
        assert_eq!(queues.start(2), None);
        assert_eq!(queues.len(), 4);
        queues.end(user(1));
        assert_eq!(queues.len(), 2);
        assert_eq!(queues.start(9), Some((user(1), vec![3, 4])));
        queues.end(user(1));
        assert_eq!(queues.len(), 0);
        assert_eq!(queues.start(9), None);
    }

    /// Who has much to be told keeps nobody waiting for all of it.
    #[test]
    fn users_take_turns() {
        let mut queues = Queues::default();
        for (id, n) in [(1, 1), (1, 2), (2, 3), (1, 4)] {
            queues.push(user(id), n);
        }
        let mut order = Vec::new();
        while let Some((id, items)) = queues.start(1) {
            order.extend(items);
            queues.end(id);
        }
        assert_eq!(order, [1, 3, 2, 4]);
    }
}
