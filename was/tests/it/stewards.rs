//! Homes without an owner: what comes to them is handed on by another gateway.

use std::collections::BTreeSet;
use std::time::Duration;

use protocol::{Home, PushRecord};
use rustix::process::Signal;
use serde_json::json;
use service::kafka::{Consumer, Feed};

use crate::house::{Gateway, House, PATIENCE, until};

/// Leases that are soon over.
pub(crate) const SHORT: [(&str, &str); 1] = [("SWITCHBOARD_WAS_HOME_LEASE", "2s")];

/// What was put into `chat-push`: users and seqs.
pub(crate) struct Pushes(Vec<Feed>, BTreeSet<(i64, i64)>);

impl Pushes {
    pub(crate) fn of(house: &House) -> Self {
        let consumer = Consumer::start(&house.kafka, "looker", "looker").unwrap();
        let topics = house.kafka.topics();
        let add = |partition| consumer.add(topics.push(), partition, 0).unwrap();
        Self((0..2).map(add).collect(), BTreeSet::new())
    }

    pub(crate) fn now(&mut self) -> BTreeSet<(i64, i64)> {
        for feed in &mut self.0 {
            while let Ok(Some(record)) = feed.try_recv() {
                let push = PushRecord::decode(record.key.as_deref(), record.payload.as_deref());
                let push = push.unwrap();
                assert!(push.check, "{push:?}");
                self.1.insert((push.user.get(), push.seq.get()));
            }
        }
        self.1.clone()
    }
}

/// Waits until everything that came to a home is committed.
pub(crate) async fn committed(house: &House, home: Home) {
    let gateways = Consumer::start(&house.kafka, "was", "looker").unwrap();
    let topics = house.kafka.topics();
    let topic = topics.receive();
    until("the home committed to its end", || async {
        let committed = gateways.committed(topic, home.0, PATIENCE).await.unwrap();
        let marks = gateways.watermarks(topic, home.0, PATIENCE).await.unwrap();
        match committed {
            Some(offset) if offset == marks.high => Ok(()),
            other => Err(format!("{other:?} of {marks:?}")),
        }
    })
    .await;
}

async fn stewards(gateway: &Gateway, homes: i64) {
    until("stewarded homes", || async {
        match gateway.metric("was_stewarded_homes").await {
            count if count == homes => Ok(()),
            count => Err(count.to_string()),
        }
    })
    .await;
}

/// I8, traps 5 and 6: a gateway dies; the classifier, which does not know, goes on sending to its home.
/// Who has stayed away is pushed, and the dead route removed; who is connected elsewhere by now gets it
/// there, once and in order, though the record has no value. The home's offset follows. Its owner
/// returns, and the home is its own again.
#[tokio::test(flavor = "multi_thread")]
async fn i8_trap_5_trap_6_the_home_of_a_dead_gateway_is_stewarded() {
    let house = House::new().await;
    let mut desk = house.desk().await;
    let (mut first, second) = tokio::join!(
        house.gateway("was-0", &SHORT),
        house.gateway("was-1", &SHORT)
    );
    let (ann, _) = second.token("ann").await;
    let (bob, _) = second.token("bob").await;
    let (carol, _) = second.token("carol").await;
    desk.create(1, &[ann, bob, carol]).await;
    let bobs = first.session("bob", "phone", &[(1, 1)]).await;
    let _carols = first.session("carol", "phone", &[(1, 1)]).await;
    let dead = desk.routes_of(bob, 1).await[0];
    desk.routes_of(carol, 1).await;

    first.signal(Signal::KILL);
    first.child.wait().await.unwrap();
    drop(bobs);
    let mut carols = second.session("carol", "phone", &[(1, 1)]).await;
    let events = desk.store(1, ann, &["2", "3", "4", "5", "6"]).await;
    for event in &events {
        desk.send(dead.home, event, &[ann, bob, carol]).await;
    }
    for seq in 2..=6 {
        let frame = carols.next().await;
        assert_eq!(
            (&frame["seq"], &frame["body"]),
            (&json!(seq), &json!(seq.to_string()))
        );
    }
    let mut pushes = Pushes::of(&house);
    let wanted: BTreeSet<_> = [ann, bob]
        .iter()
        .flat_map(|id| (2..=6).map(|seq| (*id, seq)))
        .collect();
    let pushed = std::sync::Mutex::new(&mut pushes);
    until("pushes", || async {
        let now = pushed.lock().unwrap().now();
        if now == wanted {
            Ok(())
        } else {
            Err(format!("{now:?}"))
        }
    })
    .await;
    desk.routes_of(bob, 0).await;
    assert_ne!(desk.routes_of(carol, 1).await[0].home, dead.home);
    committed(&house, dead.home).await;
    stewards(&second, 3).await;
    // Carol has seen each of them once.
    carols.silent(Duration::from_millis(200)).await;

    let first = house.gateway("was-0", &SHORT).await;
    stewards(&second, 1).await;
    stewards(&first, 1).await;
    let mut bobs = first.session("bob", "phone", &[(1, 6)]).await;
    let route = desk.routes_of(bob, 1).await[0];
    assert_eq!(route.home, dead.home);
    let event = desk.store(1, ann, &["7"]).await.remove(0);
    desk.send(route.home, &event, &[bob]).await;
    assert_eq!(bobs.next().await["seq"], 7);
    assert_eq!(pushes.now(), wanted, "nobody who is there is pushed");
}
