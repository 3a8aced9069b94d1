//! The rules of the one catch-up statement (docs/architecture.md, "Connecting").

use protocol::{EventKind, RoomId, Seq, UserId};
use store::{Baseline, CatchUpRequest, RoomCatchUp, Scope, Store, StoreError};

use crate::place::Place;
use crate::writer::{Writer, room, seq, user};

/// More than any of these tests writes.
pub(crate) const BYTES: i64 = 1 << 30;

pub(crate) fn request(user: UserId, cursors: &[(i64, i64)]) -> CatchUpRequest {
    let cursors = cursors.iter().map(|(r, s)| (room(*r), Some(seq(*s))));
    CatchUpRequest {
        user,
        cursors: cursors.collect(),
        scope: Scope::AllRooms,
        baseline: Baseline::Head,
        marks: false,
        max_per_room: 300,
        max_total: 1000,
    }
}

async fn ask(store: &Store, request: CatchUpRequest) -> Vec<RoomCatchUp> {
    let mut answers = store.catch_up(&[request], BYTES).await.unwrap();
    assert_eq!(answers.len(), 1);
    answers.remove(0).unwrap().rooms
}

fn seqs(room: &RoomCatchUp) -> Vec<i64> {
    room.events.iter().map(|event| event.seq.get()).collect()
}

/// `users` in room 1, with so many messages after its creation.
async fn written(place: &Place, users: &[UserId], messages: i64) -> Writer {
    let mut writer = Writer::claim(&place.store, "a", 0).await;
    writer.create(room(1), users);
    for _ in 0..messages {
        writer.say(room(1), users[0], "x");
    }
    writer.commit().await;
    writer
}

#[tokio::test]
async fn i5_a_cursor_gets_what_is_above_it() {
    let place = Place::new().await;
    let mut writer = written(&place, &[user(1), user(2)], 5).await;
    let rooms = ask(&place.store, request(user(2), &[(1, 3)])).await;
    assert_eq!(rooms.len(), 1);
    assert_eq!(seqs(&rooms[0]), [4, 5, 6]);
    assert_eq!(
        (rooms[0].from, rooms[0].head, rooms[0].gap),
        (seq(3), seq(6), None)
    );
    assert_eq!((rooms[0].joined_seq, rooms[0].left_seq), (seq(1), None));
    assert_eq!(rooms[0].events[0].kind, EventKind::message("x".to_owned()));
    // At the head: the room is there, and nothing was missed. From 0: the whole log.
    let rooms = ask(&place.store, request(user(2), &[(1, 6)])).await;
    assert_eq!((seqs(&rooms[0]), rooms[0].gap), (vec![], None));
    writer.say(room(1), user(1), "y");
    writer.commit().await;
    let rooms = ask(&place.store, request(user(2), &[(1, 0)])).await;
    assert_eq!(seqs(&rooms[0]), [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn i4_without_a_cursor_the_baseline_is_the_head_or_the_joining() {
    let place = Place::new().await;
    let store = &place.store;
    let mut writer = written(&place, &[user(1)], 3).await;
    writer.add(room(1), user(1), user(2)); // 5
    writer.say(room(1), user(1), "x"); // 6
    writer.commit().await;
    let rooms = ask(store, request(user(2), &[])).await;
    assert_eq!((rooms[0].from, seqs(&rooms[0])), (seq(6), vec![]));
    let joined = CatchUpRequest {
        baseline: Baseline::Joined,
        ..request(user(2), &[])
    };
    let rooms = ask(store, joined.clone()).await;
    assert_eq!((rooms[0].from, seqs(&rooms[0])), (seq(4), vec![5, 6]));
    // Named without a cursor is the same.
    let named = CatchUpRequest {
        cursors: vec![(room(1), None)],
        ..joined
    };
    assert_eq!(ask(store, named).await, rooms);
}

#[tokio::test]
async fn a_cursor_above_the_head_is_clamped_and_said_so() {
    let place = Place::new().await;
    written(&place, &[user(1)], 2).await;
    let rooms = ask(&place.store, request(user(1), &[(1, 50)])).await;
    assert!(rooms[0].clamped);
    assert_eq!((rooms[0].from, rooms[0].head), (seq(3), seq(3)));
    assert_eq!((seqs(&rooms[0]), rooms[0].gap), (vec![], None));
    let rooms = ask(&place.store, request(user(1), &[(1, 3)])).await;
    assert!(!rooms[0].clamped);
}

/// I12: the missed up to and including the removal, once.
#[tokio::test]
async fn i12_a_room_left_meanwhile_ends_with_the_removal() {
    let place = Place::new().await;
    let store = &place.store;
    let mut writer = written(&place, &[user(1), user(2)], 2).await;
    let removal = writer.remove(room(1), user(1), user(2)); // 4
    writer.say(room(1), user(1), "x"); // 5
    writer.commit().await;
    for baseline in [Baseline::Head, Baseline::Joined] {
        let asked = CatchUpRequest {
            baseline,
            ..request(user(2), &[(1, 2)])
        };
        let rooms = ask(store, asked).await;
        assert_eq!(seqs(&rooms[0]), [3, 4]);
        assert_eq!((rooms[0].left_seq, rooms[0].head), (Some(removal), removal));
    }
    // Seen already, or a room that the session never had.
    assert_eq!(ask(store, request(user(2), &[(1, 4)])).await, []);
    assert_eq!(ask(store, request(user(2), &[(1, 9)])).await, []);
    assert_eq!(ask(store, request(user(2), &[])).await, []);
    assert_eq!(ask(store, request(user(3), &[(1, 0)])).await, []);
    assert_eq!(ask(store, request(user(2), &[(77, 0)])).await, []);
}

/// A gap read for a room that the session did not know: added and removed before the read.
#[tokio::test]
async fn a_named_room_without_a_cursor_shows_its_last_stay() {
    let place = Place::new().await;
    let mut writer = written(&place, &[user(1)], 2).await;
    writer.add(room(1), user(1), user(2)); // 4
    writer.say(room(1), user(1), "x"); // 5
    writer.remove(room(1), user(1), user(2)); // 6
    writer.commit().await;
    let named = CatchUpRequest {
        cursors: vec![(room(1), None)],
        scope: Scope::Named,
        baseline: Baseline::Joined,
        ..request(user(2), &[])
    };
    let rooms = ask(&place.store, named).await;
    assert_eq!(seqs(&rooms[0]), [4, 5, 6]);
}

/// Trap 16: what was missed may lie in several stays; what lies between them is not theirs.
#[tokio::test]
async fn trap_16_several_stays_without_what_lies_between() {
    let place = Place::new().await;
    let store = &place.store;
    let mut writer = written(&place, &[user(1), user(2)], 2).await;
    writer.remove(room(1), user(1), user(2)); // 4
    writer.say(room(1), user(1), "not theirs"); // 5
    writer.add(room(1), user(1), user(2)); // 6
    writer.say(room(1), user(1), "x"); // 7
    writer.commit().await;
    let rooms = ask(store, request(user(2), &[(1, 2)])).await;
    assert_eq!((seqs(&rooms[0]), rooms[0].gap), (vec![3, 4, 6, 7], None));
    assert_eq!(rooms[0].joined_seq, seq(6));
    let limited = CatchUpRequest {
        max_per_room: 3,
        ..request(user(2), &[(1, 2)])
    };
    let rooms = ask(store, limited).await;
    assert_eq!(seqs(&rooms[0]), [4, 6, 7]);
    assert_eq!(rooms[0].gap, Some((seq(3), seq(3))));
}

#[tokio::test]
async fn more_than_the_limit_of_a_room_is_an_honest_gap() {
    let place = Place::new().await;
    written(&place, &[user(1)], 9).await; // head 10
    let limited = |max_per_room| CatchUpRequest {
        max_per_room,
        ..request(user(1), &[(1, 2)])
    };
    let rooms = ask(&place.store, limited(8)).await;
    assert_eq!((seqs(&rooms[0]).len(), rooms[0].gap), (8, None));
    let rooms = ask(&place.store, limited(3)).await;
    assert_eq!(seqs(&rooms[0]), [8, 9, 10]);
    assert_eq!(rooms[0].gap, Some((seq(3), seq(7))));
    let rooms = ask(&place.store, limited(0)).await;
    assert_eq!(seqs(&rooms[0]), [0; 0]);
    assert_eq!(rooms[0].gap, Some((seq(3), seq(10))));
}

/// The limit over all rooms is never passed, and the rooms that need least come whole.
#[tokio::test]
async fn more_than_the_limit_of_all_is_an_honest_gap() {
    let place = Place::new().await;
    let mut writer = Writer::claim(&place.store, "a", 0).await;
    for (n, messages) in [(1, 20), (2, 3), (3, 8)] {
        writer.create(room(n), &[user(1)]);
        for _ in 0..messages {
            writer.say(room(n), user(1), "x");
        }
    }
    writer.commit().await;
    let asked = CatchUpRequest {
        max_per_room: 10,
        max_total: 15,
        ..request(user(1), &[(1, 1), (2, 1), (3, 1)])
    };
    let rooms = ask(&place.store, asked).await;
    let shape: Vec<_> = rooms
        .iter()
        .map(|r| (r.room, r.events.len(), r.gap))
        .collect();
    let expected = [
        (room(1), 4, Some((seq(2), seq(17)))),
        (room(2), 3, None),
        (room(3), 8, None),
    ];
    assert_eq!(shape, expected);
}

/// I9: what many sessions are answered at once is bounded in bytes too: of each room the newest are
/// kept, the rooms that need least come whole, and a text that does not fit is a gap.
#[tokio::test]
async fn i9_more_than_the_bytes_of_all_is_an_honest_gap() {
    let place = Place::new().await;
    let mut writer = Writer::claim(&place.store, "a", 0).await;
    let body = "x".repeat(1000);
    for (n, messages) in [(1, 6), (2, 2), (3, 9)] {
        writer.create(room(n), &[user(1)]);
        for _ in 0..messages {
            writer.say(room(n), user(1), &body);
        }
    }
    writer.commit().await;
    let asked = request(user(1), &[(1, 1), (2, 1), (3, 1)]);
    let shape = async |bytes| {
        let answers = place
            .store
            .catch_up(std::slice::from_ref(&asked), bytes)
            .await;
        let rooms = answers.unwrap().remove(0).unwrap().rooms;
        let shape = rooms.iter().map(|r| (r.events.len(), r.gap));
        shape.collect::<Vec<_>>()
    };
    let gap = |from, to| Some((seq(from), seq(to)));
    let cut = [(3, gap(2, 4)), (2, None), (0, gap(2, 10))];
    assert_eq!(shape(5500).await, cut);
    let none = [(0, gap(2, 7)), (0, gap(2, 3)), (0, gap(2, 10))];
    assert_eq!(shape(500).await, none);
    // A short text said later does not hide a long one that who has left still sees.
    let long = writer.say(room(2), user(1), "y");
    let edit = |body: &str| EventKind::Edited {
        target: long,
        body: body.to_owned(),
    };
    writer.event(room(2), user(1), edit(&body));
    writer.event(room(2), user(1), edit("y"));
    writer.commit().await;
    let octets = "select octets::bigint from message where room_id = 2 and seq = 4";
    assert!(place.number(octets).await > 1000);
}

/// I9: a row that can't be read fails who asked for it, not those who share the query.
#[tokio::test]
async fn i9_a_corrupt_row_fails_only_its_own_session() {
    let place = Place::new().await;
    let mut writer = written(&place, &[user(1), user(2)], 2).await;
    writer.create(room(2), &[user(2)]);
    writer.commit().await;
    let corrupt = "update message set content = '{}' where room_id = 1 and seq = 2";
    place.client().await.execute(corrupt, &[]).await.unwrap();
    let requests = [
        request(user(1), &[(1, 2)]),
        request(user(2), &[(1, 1), (2, 0)]),
        request(user(2), &[(2, 0)]),
    ];
    let answers = place.store.catch_up(&requests, BYTES).await.unwrap();
    let found = |n: usize| answers[n].as_ref().map(|answer| answer.rooms.len());
    assert_eq!((found(0).unwrap(), found(2).unwrap()), (1, 2));
    assert!(matches!(found(1), Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn read_marks_come_when_asked_for() {
    let place = Place::new().await;
    let store = &place.store;
    written(&place, &[user(1), user(2)], 3).await;
    let marks = [(room(1), user(1), seq(2)), (room(1), user(2), seq(4))];
    store.raise_marks(&marks).await.unwrap();
    assert_eq!(ask(store, request(user(1), &[])).await[0].marks, []);
    let asked = CatchUpRequest {
        marks: true,
        ..request(user(1), &[])
    };
    let expected = [(user(1), seq(2)), (user(2), seq(4))];
    assert_eq!(ask(store, asked).await[0].marks, expected);
}

/// I9: marks are bounded by themselves, as they come beside the events.
#[tokio::test]
async fn i9_read_marks_are_bounded() {
    let place = Place::new().await;
    let store = &place.store;
    let mut writer = Writer::claim(store, "a", 0).await;
    let mut marks = Vec::new();
    for (n, members) in [(1, 101), (2, 2)]
        .into_iter()
        .chain((3..=14).map(|n| (n, 90)))
    {
        let members: Vec<_> = (1..=members).map(user).collect();
        writer.create(room(n), &members);
        marks.extend(members.into_iter().map(|user| (room(n), user, seq(1))));
    }
    writer.remove(room(2), user(1), user(2));
    writer.commit().await;
    marks.push((room(2), user(1), seq(2)));
    store.raise_marks(&marks).await.unwrap();
    let asked = CatchUpRequest {
        marks: true,
        ..request(user(1), &[])
    };
    let rooms = ask(store, asked).await;
    let counts: Vec<_> = rooms.iter().map(|room| room.marks.len()).collect();
    // One too large; one whose other member has left; of the rest as many as fit into 1,000.
    let mut expected = vec![0, 1];
    expected.extend([90; 11]);
    expected.push(0);
    assert_eq!(counts, expected);
    assert_eq!(rooms[1].marks, [(user(1), seq(2))]);
}

/// One statement for many sessions: each gets what it would get alone, in its place.
#[tokio::test]
async fn sessions_that_share_a_query_do_not_mix() {
    let place = Place::new().await;
    let store = &place.store;
    let mut writer = Writer::claim(store, "a", 0).await;
    for n in 1..=12_i64 {
        let members: Vec<_> = (1..=20).filter(|u| u % 4 == n % 4).map(user).collect();
        writer.create(room(n), &members);
        for _ in 0..n {
            writer.say(room(n), members[0], "x");
        }
    }
    writer.remove(room(1), user(1), user(5));
    writer.commit().await;
    let mut requests = Vec::new();
    for n in 1..=20_i64 {
        let cursors: Vec<_> = (1..=12)
            .filter(|r| (r + n) % 3 != 0)
            .map(|r| (r, n % 7))
            .collect();
        requests.push(CatchUpRequest {
            baseline: if n % 2 == 0 {
                Baseline::Head
            } else {
                Baseline::Joined
            },
            scope: if n % 5 == 0 {
                Scope::Named
            } else {
                Scope::AllRooms
            },
            max_per_room: n,
            max_total: 2 * n,
            marks: n % 2 == 0,
            ..request(user(n), &cursors)
        });
    }
    // The same user twice, with different cursors: two devices.
    requests.push(request(user(1), &[(1, 0)]));
    requests.push(request(user(1), &[(1, 1)]));
    let together = store.catch_up(&requests, BYTES).await.unwrap();
    let together: Vec<_> = together.into_iter().map(Result::unwrap).collect();
    assert_eq!(together.len(), requests.len());
    for (request, answer) in requests.iter().zip(&together) {
        assert_eq!(ask(store, request.clone()).await, answer.rooms);
        assert!(answer.rooms.iter().map(|r| r.events.len()).sum::<usize>() <= 1000);
    }
    let room_1: Vec<(RoomId, Seq)> = together[20].rooms[..1]
        .iter()
        .map(|r| (r.room, r.from))
        .collect();
    assert_eq!(room_1, [(room(1), seq(0))]);
    assert!(store.catch_up(&[], BYTES).await.unwrap().is_empty());
}
