//! Whether those were told who were never connected, or have left.

use std::{collections::HashSet, time::Duration};

use protocol::{RoomId, Seq, UserId};
use tokio::time::{Instant, sleep};

use super::row::Row;
use crate::{hook::Hook, scenario::Scenario};

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(100);
/// Of those who were not told, so many are named.
const NAMED: usize = 4;

/// What the push worker had told when a round was over.
#[derive(Debug, Default)]
pub(crate) struct Pushes {
    /// Pairs of a user and a message.
    pushed: u64,
    /// Pairs of who is not there and an accepted message of which it did not tell; see [`Scenario::to_push`].
    unpushed: u64,
    /// The first of these.
    remarks: Vec<String>,
}

impl Pushes {
    /// Waits until all who have to be told were, or `within` has passed without. The rooms are forgotten then.
    pub(crate) async fn settle(scenario: &Scenario, hook: &Hook, within: Duration) -> Self {
        let deadline = Instant::now() + within;
        let pushes = loop {
            let pushes = Self::of(scenario, hook);
            if pushes.unpushed == 0 || Instant::now() > deadline {
                break pushes;
            }
            sleep(LOOK).await;
        };
        for room in scenario.rooms() {
            hook.forget(room.id);
        }
        pushes
    }

    /// Into the row of its round.
    pub(crate) fn tell(self, row: &mut Row) {
        row.pushed = self.pushed;
        row.unpushed = self.unpushed;
        row.remarks.extend(self.remarks);
    }

    fn of(scenario: &Scenario, hook: &Hook) -> Self {
        let mut pushes = Self::default();
        for room in scenario.rooms() {
            pushes.judge(room.id, &scenario.to_push(room), &hook.told_in(room.id));
        }
        pushes
    }

    fn judge(&mut self, room: RoomId, wanted: &[(UserId, Seq)], told: &HashSet<(UserId, Seq)>) {
        self.pushed += u64::try_from(told.len()).unwrap_or(u64::MAX);
        for (user, seq) in wanted.iter().filter(|pair| !told.contains(pair)) {
            self.unpushed += 1;
            if self.remarks.len() < NAMED {
                self.remarks
                    .push(format!("user {user} was not told of {room}:{seq}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// I8: each has to be told of each; who was told of more is no failing.
    #[test]
    fn i8_who_was_not_told_is_counted() {
        let (room, ann, bob) = (
            RoomId::new(1).unwrap(),
            UserId::new(1).unwrap(),
            UserId::new(2).unwrap(),
        );
        let first = Seq::ZERO.next();
        let (second, third) = (first.next(), first.next().next());
        let told = HashSet::from([(ann, second), (ann, first), (bob, third)]);
        let mut pushes = Pushes::default();
        pushes.judge(room, &[(ann, second), (ann, third)], &told);
        assert_eq!((pushes.pushed, pushes.unpushed), (3, 1));
        assert_eq!(pushes.remarks, ["user 1 was not told of 1:3"]);
        pushes.judge(room, &[], &HashSet::new());
        assert_eq!((pushes.pushed, pushes.unpushed), (3, 1));

        let mut row = Row::default();
        pushes.tell(&mut row);
        assert_eq!((row.pushed, row.unpushed), (3, 1));
        assert!(!row.is_good() && row.remarks.len() == 1);
    }
}
