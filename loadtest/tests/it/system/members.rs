//! Members only (I12).

use client::{Event, Page, RestError};
use protocol::{EventKind, RejectCode, RoomKind, Seq};

use super::bench::{Bench, PATIENCE, answered};

fn status(result: Result<impl std::fmt::Debug, RestError>) -> u16 {
    result.unwrap_err().status().unwrap()
}

/// I12: who is no member can't send, read history or see the room, and hears nothing of it while it goes on; a room that does not exist looks alike.
#[tokio::test(flavor = "multi_thread")]
async fn i12_a_stranger_can_do_nothing() {
    let mut bench = Bench::shared(2, 1).await;
    bench.scenario.users(3).await.unwrap();
    bench.scenario.room(&[0, 1]).await.unwrap();
    bench.scenario.connect_all().await.unwrap();
    bench.scenario.say(0, 0, "secret").unwrap();
    bench.settle_well().await;
    let room = bench.scenario.room_at(0).id;
    let nowhere = protocol::RoomId::new(protocol::MAX_ID).unwrap();

    let stranger = bench.scenario.rest(2, 0);
    for room in [room, nowhere] {
        let page = answered(|_| stranger.history(room, Page::After(Seq::ZERO), 10));
        assert_eq!(status(page.await), 404);
        assert_eq!(status(answered(|_| stranger.room(room)).await), 404);
    }
    let rooms = answered(|_| stranger.rooms()).await.unwrap();
    assert!(rooms.is_empty());

    let options = client::Options::new(
        bench.cluster.urls(),
        bench.scenario.session(2).token().to_owned(),
        "intruder",
    );
    let (client, mut events) = client::Client::connect(options);
    // Whatever reached the stranger stands before the answer: it comes over the same home.
    let mut is_refused = async |room| {
        let id = client.send(room, "let me in").unwrap();
        let code = tokio::time::timeout(PATIENCE, async {
            loop {
                match events.next().await.unwrap() {
                    Event::Rejected {
                        id: of,
                        code,
                        resend_in: None,
                        ..
                    } if of == id => break code,
                    // What is about its own connection and command alone.
                    Event::Connected(_)
                    | Event::Disconnected { .. }
                    | Event::Accepted { .. }
                    | Event::Rejected {
                        code: RejectCode::Unavailable,
                        ..
                    } => {}
                    other => panic!("a stranger received {other:?}"),
                }
            }
        })
        .await
        .unwrap();
        assert_eq!(code, RejectCode::NotMember);
    };
    is_refused(room).await;
    is_refused(nowhere).await;
    // The members go on, one of them on the stranger's own gateway.
    let member = bench.scenario.session(0).client().unwrap();
    member.typing(room);
    member.read(room, Seq::new(2).unwrap());
    bench.scenario.say(0, 0, "between us").unwrap();
    bench.scenario.say(1, 0, "yes").unwrap();
    bench.settle_well().await;
    is_refused(room).await;
    assert_eq!(
        bench.seqs(0, 0, room).await,
        [1, 2, 3, 4],
        "nothing of the stranger's was stored"
    );
}

/// I12: a removed member sees its removal and nothing after it, live and in history; who comes back sees
/// both stays and not what was between them (trap 16).
#[tokio::test(flavor = "multi_thread")]
async fn i12_a_removed_member_sees_nothing_from_then_on() {
    let mut bench = Bench::shared(2, 2).await;
    bench.scenario.users(3).await.unwrap();
    let users: Vec<_> = (0..3).map(|n| bench.scenario.session(n).user()).collect();
    let owner = bench.scenario.rest(0, 0);
    let create = |key| owner.create_room(RoomKind::Group, "three", &users[1..], key);
    let room = answered(create).await.unwrap();
    let mut options = client::Options::new(
        bench.cluster.urls(),
        bench.scenario.session(2).token().to_owned(),
        "leaver",
    );
    options.cursors = [(room, Seq::new(1).unwrap())].into();
    let (_leaver, mut events) = client::Client::connect(options);
    let speaker_options = client::Options::new(
        bench.cluster.urls(),
        bench.scenario.session(1).token().to_owned(),
        "speaker",
    );
    let (speaker, mut heard) = client::Client::connect(speaker_options);
    let mut next_at_speaker = async |what: &str| {
        let id = speaker.send(room, what).unwrap();
        tokio::time::timeout(PATIENCE, async {
            loop {
                match heard.next().await.unwrap() {
                    Event::Message(message) if message.id == id => break message.seq.get(),
                    _ => {}
                }
            }
        })
        .await
        .unwrap()
    };
    let first = next_at_speaker("with you").await;
    let removed = answered(|key| owner.remove_member(room, users[2], key));
    removed.await.unwrap();
    let second = next_at_speaker("without you").await;
    let added = answered(|key| owner.add_member(room, users[2], key));
    added.await.unwrap();
    let third = next_at_speaker("with you again").await;

    let mut seen = Vec::new();
    tokio::time::timeout(PATIENCE, async {
        loop {
            match events.next().await.unwrap() {
                Event::Message(message) => {
                    seen.push(message.seq.get());
                    if message.seq.get() == third {
                        break;
                    }
                }
                Event::Room(event) => {
                    if let EventKind::MemberRemoved { user, .. } = &event.kind {
                        assert_eq!(*user, users[2]);
                    }
                    seen.push(event.seq.get());
                }
                _ => {}
            }
        }
    })
    .await
    .unwrap_or_else(|_| panic!("seen {seen:?}"));
    assert_eq!(seen, [first, first + 1, second + 1, third]);
    let history = bench.seqs(2, 1, room).await;
    assert_eq!(history, [1, first, first + 1, second + 1, third]);
}
