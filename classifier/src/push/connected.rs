//! For those who have come back: their homes are told which message it is, and nothing more. Who has
//! seen it has seen it; to who has not it is a gap, read from Postgres; and custody goes on (I8).

use protocol::{Home, PushRecord, Reminders};

use crate::ports::{Outgoing, Sink};

/// One record without a value for each message and home.
pub(super) fn reminders<'a>(
    connected: impl Iterator<Item = (&'a PushRecord, &'a [Home])>,
) -> Vec<Outgoing> {
    let mut reminders = Reminders::default();
    for (push, homes) in connected {
        for home in homes {
            reminders.add(*home, push.room, push.seq, push.user);
        }
    }
    let records = reminders.records().map(|(home, headers)| Outgoing {
        sink: Sink::Home(home),
        key: None,
        headers: headers.encode(),
        payload: None,
        trace: None,
    });
    records.collect()
}

#[cfg(test)]
mod tests {
    use protocol::{DeliveryHeaders, RoomId, Seq, Target, UserId};

    use super::*;

    #[test]
    fn a_message_and_home_have_one_record_in_the_order_of_the_room() {
        let push = |user, seq| {
            let user = UserId::new(user).unwrap();
            PushRecord::check(user, RoomId::new(7).unwrap(), Seq::new(seq).unwrap())
        };
        let pushes = [push(1, 5), push(2, 4), push(2, 5), push(3, 5)];
        let homes: [&[Home]; 4] = [&[Home(1)], &[Home(1), Home(2)], &[Home(1), Home(2)], &[]];
        let records = reminders(pushes.iter().zip(homes));
        let seen: Vec<_> = records
            .iter()
            .map(|record| {
                assert_eq!((&record.key, &record.payload), (&None, &None));
                let headers = record
                    .headers
                    .iter()
                    .map(|(name, value)| (*name, &value[..]));
                let headers = DeliveryHeaders::decode(headers).unwrap();
                let Target::Users(users) = headers.target else {
                    panic!("{headers:?}");
                };
                let users: Vec<i64> = users.into_iter().map(UserId::get).collect();
                (record.sink, headers.seq.unwrap().get(), users)
            })
            .collect();
        let to = |home, seq, users: &[i64]| (Sink::Home(Home(home)), seq, users.to_vec());
        assert_eq!(
            seen,
            [
                to(1, 4, &[2]),
                to(2, 4, &[2]),
                to(1, 5, &[1, 2]),
                to(2, 5, &[2])
            ]
        );
    }
}
