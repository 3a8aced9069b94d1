//! Records that say only which event there is, and for whom: who has not seen it reads it from Postgres.

use std::collections::BTreeMap;

use crate::{DeliveryHeaders, Home, MAX_RECIPIENTS_PER_RECORD, RoomId, Seq, UserId};

/// Reminders that go out together: one record without a value for each event and home, and more where
/// its recipients do not fit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reminders(BTreeMap<(RoomId, Seq, Home), Vec<UserId>>);

impl Reminders {
    /// Reminds `user` of an event, by way of `home`.
    pub fn add(&mut self, home: Home, room: RoomId, seq: Seq, user: UserId) {
        self.0.entry((room, seq, home)).or_default().push(user);
    }

    /// Where each record goes, and its headers. In the order of the rooms: a session that gets them so
    /// has fewer holes.
    pub fn records(&self) -> impl Iterator<Item = (Home, DeliveryHeaders)> {
        self.0.iter().flat_map(|((room, seq, home), users)| {
            let chunks = users.chunks(MAX_RECIPIENTS_PER_RECORD);
            chunks.map(|users| (*home, DeliveryHeaders::event(*room, *seq, users.to_vec())))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Target;

    /// Home, seq and recipients of each record.
    fn told(reminders: &Reminders) -> Vec<(i32, i64, Vec<i64>)> {
        let told = reminders.records().map(|(home, headers)| {
            let Target::Users(users) = headers.target else {
                unreachable!("an event is for users");
            };
            let users = users.into_iter().map(UserId::get).collect();
            (home.0, headers.seq.unwrap().get(), users)
        });
        told.collect()
    }

    fn of(reminders: &[(i32, i64, i64)]) -> Reminders {
        let mut all = Reminders::default();
        for (home, seq, user) in reminders {
            let (room, seq) = (RoomId::new(7).unwrap(), Seq::new(*seq).unwrap());
            all.add(Home(*home), room, seq, UserId::new(*user).unwrap());
        }
        all
    }

    #[test]
    fn an_event_and_home_have_one_record_in_the_order_of_the_room() {
        let reminders = of(&[(1, 5, 1), (2, 4, 2), (1, 4, 2), (2, 5, 2), (1, 5, 3)]);
        assert_eq!(
            told(&reminders),
            [
                (1, 4, vec![2]),
                (2, 4, vec![2]),
                (1, 5, vec![1, 3]),
                (2, 5, vec![2])
            ]
        );
    }

    #[test]
    fn more_recipients_than_fit_have_further_records() {
        let most = i64::try_from(MAX_RECIPIENTS_PER_RECORD).unwrap();
        let many: Vec<(i32, i64, i64)> = (1..=most + 1).map(|user| (1, 5, user)).collect();
        let told = told(&of(&many));
        let counts: Vec<usize> = told.iter().map(|(_, _, users)| users.len()).collect();
        assert_eq!(counts, [MAX_RECIPIENTS_PER_RECORD, 1]);
        assert_eq!(told[1].2, [most + 1]);
    }
}
