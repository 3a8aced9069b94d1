//! Custody (I8): what was for somebody who does not come back ends in a push.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::{Client, Event};
use protocol::{Home, PushRecord, RoomId, Seq, UserId};
use routing::{HomeTable, Redis, RedisSettings};
use service::kafka::{Consumer, Feed, KafkaSettings};
use tokio::time::sleep;

use super::bench::{Bench, PATIENCE, until};

/// Below what is replayed of a room: nobody is to have a gap.
const MESSAGES: usize = 250;
/// The message before which the gateway is killed.
const KILLED_AT: usize = 80;
const WITHIN: Duration = PATIENCE;

/// A client, and what it has seen of a room.
struct Watcher {
    _client: Client,
    seen: Arc<Mutex<Vec<i64>>>,
}

impl Watcher {
    /// Connects to the first of `urls`, and when that is lost to the others. Returns when greeted.
    async fn start(urls: Vec<String>, token: &str, room: RoomId) -> Self {
        let mut options = client::Options::new(urls, token, "phone");
        options.cursors = [(room, Seq::new(1).unwrap())].into();
        let (client, mut events) = Client::connect(options);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if let Event::Message(message) = event {
                    noted.lock().unwrap().push(message.seq.get());
                }
            }
        });
        until("greeted", WITHIN, || async {
            client.is_connected().then_some(())
        })
        .await;
        Self {
            _client: client,
            seen,
        }
    }

    fn seen(&self) -> Vec<i64> {
        self.seen.lock().unwrap().clone()
    }
}

/// Who was pushed what, and how often.
#[derive(Default)]
struct Pushes {
    feeds: Vec<Feed>,
    counts: BTreeMap<(UserId, i64), usize>,
}

impl Pushes {
    fn read(kafka: &KafkaSettings) -> Self {
        let consumer = Consumer::start(kafka, "looker", "looker").unwrap();
        let topics = kafka.topics();
        let add = |partition| consumer.add(topics.push(), partition, 0).unwrap();
        Self {
            feeds: (0..12).map(add).collect(),
            counts: BTreeMap::new(),
        }
    }

    /// The seqs that a user was pushed so far.
    fn of(&mut self, user: UserId) -> BTreeSet<i64> {
        for feed in &mut self.feeds {
            while let Ok(Some(record)) = feed.try_recv() {
                let push = PushRecord::decode(record.key.as_deref(), record.payload.as_deref());
                let push = push.unwrap();
                *self.counts.entry((push.user, push.seq.get())).or_default() += 1;
            }
        }
        let all = self.counts.keys();
        all.filter(|(of, _)| *of == user)
            .map(|(_, seq)| *seq)
            .collect()
    }

    /// The most that a user was told of one message.
    fn most(&self, user: UserId) -> usize {
        let all = self.counts.iter().filter(|((of, _), _)| *of == user);
        all.map(|(_, count)| *count).max().unwrap_or(0)
    }
}

/// I8, trap 5: a gateway dies while two who are connected there are written to. One comes back elsewhere
/// and sees everything once and in order, and is told of nothing twice; the other does not, and each
/// message is what it has seen or a push, by the steward of the dead home, whose offset moves.
#[tokio::test(flavor = "multi_thread")]
async fn i8_trap_5_who_stays_away_after_a_kill_9_is_pushed() {
    let mut bench = Bench::shared(2, 1).await;
    bench.scenario.users(3).await.unwrap();
    bench.scenario.room(&[0, 1, 2]).await.unwrap();
    bench.scenario.connect(0, 1).await.unwrap();
    let room = bench.scenario.room_at(0).id;
    let urls = bench.cluster.urls();
    let [away, back] = [1, 2].map(|n| bench.scenario.session(n));
    let (users, tokens) = (
        [away.user(), back.user()],
        [away.token().to_owned(), back.token().to_owned()],
    );
    let away = Watcher::start(vec![urls[0].clone()], &tokens[0], room).await;
    let back = Watcher::start(urls, &tokens[1], room).await;

    for n in 0..MESSAGES {
        if n == KILLED_AT {
            bench.cluster.was(0).kill();
        }
        bench.scenario.say(0, 0, format!("{n}")).unwrap();
        sleep(Duration::from_millis(10)).await; // the pace of the talk
    }
    let last = i64::try_from(MESSAGES).unwrap() + 1;
    let rest = bench.scenario.rest(0, 1);
    until("all stored", WITHIN, || async {
        (rest.room(room).await.ok()?.head.get() == last).then_some(())
    })
    .await;
    let all: Vec<i64> = (2..=last).collect();
    until("the one that is back has seen all", WITHIN, || async {
        (back.seen().len() >= all.len()).then_some(())
    })
    .await;

    let kafka = KafkaSettings::plain(bench.space.kafka_brokers(), bench.space.topic_prefix());
    let pushes = Mutex::new(Pushes::read(&kafka));
    let after: Vec<i64> = (2 + i64::try_from(KILLED_AT).unwrap()..=last).collect();
    until("all later messages pushed", WITHIN, || async {
        let pushed = pushes.lock().unwrap().of(users[0]);
        after.iter().all(|seq| pushed.contains(seq)).then_some(())
    })
    .await;
    let redis = Redis::connect(&RedisSettings::new(
        bench.space.redis_url(),
        bench.space.key_prefix(),
    ));
    let table = HomeTable::new(&redis.unwrap(), 6)
        .look()
        .await
        .unwrap()
        .table;
    let dead = table
        .slots
        .iter()
        .find(|slot| slot.owner.as_deref() == Some("was-1"));
    committed_to_its_end(&kafka, dead.unwrap().partition).await;

    let mut pushes = pushes.into_inner().unwrap();
    let mut known = pushes.of(users[0]);
    known.extend(away.seen());
    // That the room was made, before anybody was connected.
    known.remove(&1);
    assert_eq!(known.into_iter().collect::<Vec<_>>(), all, "none is lost");
    assert_eq!(back.seen(), all, "in order, whole, once");
    assert!(pushes.most(users[1]) <= 1, "{:?}", pushes.counts);
    println!(
        "{} seen and {} pushed of {MESSAGES} to the one away; {} pushed to the one back",
        away.seen().len(),
        pushes.of(users[0]).len(),
        pushes.of(users[1]).len(),
    );
}

/// The steward has committed all that came to a home.
async fn committed_to_its_end(kafka: &KafkaSettings, home: Home) {
    let gateways = Consumer::start(kafka, "was", "looker").unwrap();
    let (topics, wait) = (kafka.topics(), WITHIN);
    until("the dead home committed to its end", WITHIN, || async {
        let committed = gateways
            .committed(topics.receive(), home.0, wait)
            .await
            .unwrap();
        let marks = gateways
            .watermarks(topics.receive(), home.0, wait)
            .await
            .unwrap();
        (committed == Some(marks.high)).then_some(())
    })
    .await;
}
