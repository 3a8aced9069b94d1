//! What is told to those who are not connected, and to whom nothing is.

use protocol::EventKind;
use store::{Notice, Wanted};

use crate::place::Place;
use crate::writer::{Writer, room, seq, user};

/// I8, I12: nobody is told what they wrote themselves, what they were not there for, or what is gone.
#[tokio::test]
async fn i12_only_who_may_see_a_message_is_told_of_it() {
    let place = Place::new().await;
    let mut writer = Writer::claim(&place.store, "a", 0).await;
    let (ann, ben, eve) = (user(1), user(2), user(3));
    writer.create(room(1), &[ann, ben]); // 1
    let long = "é".repeat(1_000);
    writer.say(room(1), ann, &long); // 2
    writer.add(room(1), ann, eve); // 3
    writer.say(room(1), ann, "to all"); // 4
    writer.remove(room(1), ann, eve); // 5
    writer.say(room(1), ann, "without eve"); // 6
    writer.add(room(1), ann, eve); // 7
    writer.say(room(1), ann, "gone"); // 8
    writer.event(room(1), ann, EventKind::Deleted { target: seq(8) }); // 9
    writer.commit().await;

    let wanted: Vec<Wanted> = (1..=10)
        .flat_map(|n| [ann, ben, eve].map(|who| (who, room(1), seq(n))))
        .collect();
    let notices = place.store.notices(&wanted).await.unwrap();
    let of = |who| {
        let mut of: Vec<(i64, &str)> = notices
            .iter()
            .filter(|((user, ..), _)| *user == who)
            .map(|((.., seq), notice)| (seq.get(), notice.preview.as_str()))
            .collect();
        of.sort_unstable();
        of
    };
    assert_eq!(of(ann), []);
    let beginning = "é".repeat(120);
    let all = [
        (1, "created"),
        (2, &beginning),
        (3, "member_added"),
        (4, "to all"),
        (5, "member_removed"),
        (6, "without eve"),
        (7, "member_added"),
        (9, "deleted"),
    ];
    assert_eq!(of(ben), all);
    let eves = [3, 4, 5, 7, 9];
    let expected: Vec<_> = all.into_iter().filter(|(n, _)| eves.contains(n)).collect();
    assert_eq!(of(eve), expected);
    assert_eq!(
        notices[&(ben, room(1), seq(4))],
        Notice {
            sender: ann,
            preview: "to all".to_owned(),
            at: 1_700_000_000_000
        }
    );
}

/// I12: who has left before an edit is told what was said before it.
#[tokio::test]
async fn i12_an_edit_is_told_to_who_may_see_it() {
    let place = Place::new().await;
    let mut writer = Writer::claim(&place.store, "a", 0).await;
    let (ann, ben, eve) = (user(1), user(2), user(3));
    writer.create(room(1), &[ann, ben, eve]); // 1
    writer.say(room(1), ann, "first"); // 2
    writer.remove(room(1), ann, eve); // 3
    let edit = EventKind::Edited {
        target: seq(2),
        body: "second".to_owned(),
    };
    writer.event(room(1), ann, edit); // 4
    writer.commit().await;
    let wanted = [(ben, room(1), seq(2)), (eve, room(1), seq(2))];
    let notices = place.store.notices(&wanted).await.unwrap();
    let told = wanted.map(|one| notices[&one].preview.clone());
    assert_eq!(told, ["second", "first"]);
}
