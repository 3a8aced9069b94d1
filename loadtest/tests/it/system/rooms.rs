//! What else is done in a room than talking: by socket and by REST, through a gateway and a classifier and back (I5, I12).

use client::{Client, Entry, Event, Events, Options, Page, Rest, RestError};
use protocol::{EventKind, MessageId, RejectCode, Role, RoomId, RoomKind, Seq, UserId};
use tokio::time::timeout;

use super::bench::{Bench, PATIENCE, answered};

/// A member of the one room of a test, with all that reached it.
struct Member {
    user: UserId,
    room: RoomId,
    rest: Rest,
    client: Client,
    events: Events,
    /// The room's entries, in the order they came.
    log: Vec<Entry>,
    /// Read marks, in the order they came.
    marks: Vec<(UserId, i64)>,
}

impl Member {
    /// The user of a session, on a gateway; the room follows from its beginning.
    fn arrive(bench: &Bench, session: usize, was: usize, room: RoomId) -> Self {
        let rest = bench.scenario.rest(session, was);
        let token = rest.token().unwrap();
        let mut options = Options::new(vec![bench.cluster.was(was).url()], token, "by hand");
        options.cursors = [(room, Seq::ZERO)].into();
        let (client, events) = Client::connect(options);
        Self {
            user: bench.scenario.session(session).user(),
            room,
            rest,
            client,
            events,
            log: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// Reads on until `wanted` picks something.
    async fn until<T>(&mut self, what: &str, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        loop {
            let event = timeout(PATIENCE, self.events.next()).await;
            let event = event
                .unwrap_or_else(|_| panic!("{what} did not come after {:#?}", self.log))
                .expect("the client goes on");
            match &event {
                Event::Message(message) => self.log.push(Entry::Message(message.clone())),
                Event::Room(event) => self.log.push(Entry::Room(event.clone())),
                Event::Read { user, upto, .. } => self.marks.push((*user, upto.get())),
                _ => {}
            }
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    }

    /// Reads on until it has seen that seq of the room; what it was, as far as it is no message.
    async fn sees(&mut self, seq: i64) -> Option<EventKind> {
        if self.log.last().is_none_or(|last| last.seq().get() < seq) {
            self.until(&format!("seq {seq}"), |event| match event {
                Event::Message(message) => (message.seq.get() == seq).then_some(()),
                Event::Room(event) => (event.seq.get() == seq).then_some(()),
                _ => None,
            })
            .await;
        }
        match self.log.iter().find(|entry| entry.seq().get() == seq) {
            Some(Entry::Room(event)) => Some(event.kind.clone()),
            Some(Entry::Message(_)) => None,
            None => panic!("{seq} was passed over: {:#?}", self.log),
        }
    }

    async fn says(&mut self, body: &str) -> Seq {
        let id = self.client.send(self.room, body).unwrap();
        self.until(body, |event| match event {
            Event::Message(message) if message.id == id => Some(message.seq),
            _ => None,
        })
        .await
    }

    /// How a command that nobody carries out is answered.
    async fn is_refused(&mut self, id: MessageId) -> RejectCode {
        self.until("the refusal", |event| match event {
            Event::Rejected { id: of, code, .. } if *of == id => Some(*code),
            Event::Stored { id: of, .. } if *of == id => panic!("carried out"),
            _ => None,
        })
        .await
    }

    fn seqs(&self) -> Vec<i64> {
        self.log.iter().map(|entry| entry.seq().get()).collect()
    }
}

async fn done<F: Future<Output = Result<(), RestError>>>(ask: impl FnMut(MessageId) -> F) {
    answered(ask).await.unwrap();
}

async fn forbidden<F: Future<Output = Result<(), RestError>>>(ask: impl FnMut(MessageId) -> F) {
    assert_eq!(answered(ask).await.unwrap_err().status(), Some(403));
}

/// A group of three on two gateways: its owner and two plain members.
async fn three() -> (Bench, [Member; 3]) {
    let mut bench = Bench::shared(2, 2).await;
    bench.scenario.users(3).await.unwrap();
    let users: Vec<_> = (0..3).map(|n| bench.scenario.session(n).user()).collect();
    let owner = bench.scenario.rest(0, 0);
    let create = |key| owner.create_room(RoomKind::Group, "three", &users[1..], key);
    let room = answered(create).await.unwrap();
    let members =
        [(0, 0), (1, 1), (2, 0)].map(|(session, was)| Member::arrive(&bench, session, was, room));
    (bench, members)
}

/// I5, I12: whatever changes a room is one entry of its log for everyone who is in it, and who may not do it changes
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn i5_i12_all_that_changes_a_room_is_one_log() {
    let (_bench, [mut owner, mut ann, mut bob]) = three().await;
    let room = owner.room;

    // 2: said, 3: edited, by its sender only.
    let said = ann.says("helo").await;
    assert_eq!(said.get(), 2);
    let others = bob.client.edit(room, said, "mine now").unwrap();
    assert_eq!(bob.is_refused(others).await, RejectCode::Forbidden);
    ann.client.edit(room, said, "hello").unwrap();
    for member in [&mut owner, &mut ann, &mut bob] {
        let EventKind::Edited { target, body } = member.sees(3).await.unwrap() else {
            panic!("{:#?}", member.log);
        };
        assert_eq!((target, body.as_str()), (said, "hello"));
    }

    // 4: named otherwise, by an owner or admin only.
    forbidden(|key| ann.rest.rename(room, "ann's", key)).await;
    done(|key| owner.rest.rename(room, "us three", key)).await;
    let name = "us three".to_owned();
    assert_eq!(ann.sees(4).await, Some(EventKind::Renamed { name }));

    // 5: said, 6: deleted, by its sender (or an admin).
    let regretted = ann.says("oh no").await;
    let others = bob.client.delete(room, regretted).unwrap();
    assert_eq!(bob.is_refused(others).await, RejectCode::Forbidden);
    ann.client.delete(room, regretted).unwrap();
    let target = regretted;
    assert_eq!(bob.sees(6).await, Some(EventKind::Deleted { target }));

    // 7: bob leaves, nobody else but an admin could have removed him; 8: what he does not see; 9: he is back.
    forbidden(|key| ann.rest.remove_member(room, bob.user, key)).await;
    done(|key| bob.rest.remove_member(room, bob.user, key)).await;
    assert_eq!(ann.says("without bob").await.get(), 8);
    let unseen = bob.client.send(room, "still here?").unwrap();
    assert_eq!(bob.is_refused(unseen).await, RejectCode::NotMember);
    forbidden(|key| ann.rest.add_member(room, bob.user, key)).await;
    done(|key| owner.rest.add_member(room, bob.user, key)).await;
    let user = bob.user;
    assert_eq!(bob.sees(9).await, Some(EventKind::MemberAdded { user }));

    // History shows what became of the messages; everyone sees the room by its new name.
    let view = bob.rest.room(room).await.unwrap();
    assert_eq!((view.name.as_str(), view.head.get()), ("us three", 9));
    let page = owner.rest.history(room, Page::After(Seq::ZERO), 50);
    let page = page.await.unwrap().messages;
    let bodies = [2, 5].map(|seq| match &page[seq - 1] {
        Entry::Message(message) => (message.body.clone(), message.edited, message.deleted),
        other => panic!("{other:?}"),
    });
    let edited = ("hello".to_owned(), Seq::new(3).ok(), None);
    let deleted = (String::new(), None, Seq::new(6).ok());
    assert_eq!(bodies, [edited, deleted]);

    // 10: the room is deleted, by its owner only, and stays so.
    forbidden(|key| ann.rest.delete_room(room, key)).await;
    done(|key| owner.rest.delete_room(room, key)).await;
    for member in [&mut owner, &mut ann, &mut bob] {
        assert_eq!(member.sees(10).await, Some(EventKind::RoomDeleted));
    }
    let late = ann.client.send(room, "too late").unwrap();
    assert_eq!(ann.is_refused(late).await, RejectCode::RoomDeleted);
    assert!(owner.rest.rooms().await.unwrap().is_empty());

    let all: Vec<_> = (1..=10).collect();
    assert_eq!((owner.seqs(), ann.seqs()), (all.clone(), all));
    assert_eq!(bob.seqs(), [1, 2, 3, 4, 5, 6, 7, 9, 10]);
}

/// An admin may what a plain member may not, from the moment on that the owner says so.
#[tokio::test(flavor = "multi_thread")]
async fn i12_a_role_counts_from_its_seq_on() {
    let (_bench, [mut owner, mut ann, bob]) = three().await;
    let room = owner.room;
    forbidden(|key| ann.rest.set_role(room, ann.user, Role::Admin, key)).await;
    done(|key| owner.rest.set_role(room, ann.user, Role::Admin, key)).await;
    done(|key| ann.rest.remove_member(room, bob.user, key)).await;
    let user = bob.user;
    let removal = EventKind::MemberRemoved { user, owner: None };
    for member in [&mut owner, &mut ann] {
        assert_eq!(member.sees(3).await, Some(removal.clone()));
    }
    let said = owner.says("the owner's").await;
    ann.client.delete(room, said).unwrap();
    let target = said;
    assert_eq!(owner.sees(5).await, Some(EventKind::Deleted { target }));
}

/// A read mark only rises, ends at the head, is seen by the others, and is there after a reconnect; trap 13: it moves no
/// cursor. Who types is seen by the others.
#[tokio::test(flavor = "multi_thread")]
async fn trap_13_read_marks_and_typing_reach_the_others() {
    let (bench, [mut owner, mut ann, mut bob]) = three().await;
    let room = owner.room;
    for text in ["one", "two", "three"] {
        ann.says(text).await;
    }
    // Both are there, so that nothing of what follows comes as what was missed.
    bob.sees(4).await;
    owner.sees(4).await;
    let typing = |user| {
        move |event: &Event| match event {
            Event::Typing { user: by, .. } if *by == user => Some(()),
            _ => None,
        }
    };
    let marked = |upto: i64| {
        move |event: &Event| match event {
            Event::Read { upto: to, .. } if to.get() == upto => Some(()),
            _ => None,
        }
    };
    bob.client.read(room, Seq::new(3).unwrap());
    owner.until("the mark", marked(3)).await;
    // A lower one says nothing. Typing goes the same way, behind it: when that is here, the mark would have been.
    bob.client.read(room, Seq::new(2).unwrap());
    bob.client.typing(room);
    owner.until("typing", typing(bob.user)).await;
    // One beyond the head is the head.
    bob.client.read(room, Seq::new(1_000_000).unwrap());
    owner.until("the mark at the head", marked(4)).await;
    ann.until("the mark at the head", marked(4)).await;
    let expected = [(bob.user, 3), (bob.user, 4)];
    assert_eq!(owner.marks, expected);
    assert_eq!(ann.marks, expected);
    assert_eq!(
        owner.client.cursors()[&room].get(),
        owner.log.last().unwrap().seq().get(),
        "a mark is no seq of the log"
    );

    let view = ann.rest.room(room).await.unwrap();
    let of_bob = view.members.iter().find(|member| member.user == bob.user);
    assert_eq!(of_bob.unwrap().read.get(), 4);
    let summary = &bob.rest.rooms().await.unwrap()[0];
    assert_eq!((summary.read.get(), summary.unread), (4, 0));
    // In catch-up: on another gateway, for who was not there when it was set.
    owner.client.close().await;
    let mut returned = Member::arrive(&bench, 0, 1, room);
    returned.until("the mark in catch-up", marked(4)).await;
}
