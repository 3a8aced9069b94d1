//! The same id, however often and whatever dies in between: one message, one seq (I2).

use loadtest::Scenario;
use protocol::{Lane, lane_of};
use stack::{RedisAlone, RedisKind};
use tokio::time::sleep;

use super::bench::{Bench, PATIENCE, metric, until};

async fn pair(bench: &mut Bench) {
    bench.scenario.users(2).await.unwrap();
    bench.scenario.room(&[0, 1]).await.unwrap();
    bench.scenario.connect_to(0, 0).await.unwrap();
    bench.scenario.connect_to(1, 1).await.unwrap();
}

/// Sends one id five times, as an impatient client would.
fn five_times(scenario: &Scenario) {
    let id = scenario.say(0, 0, "once").unwrap();
    for _ in 0..4 {
        scenario.say_again(0, 0, id, "once").unwrap();
    }
}

/// I2, trap 4: five times at once.
#[tokio::test(flavor = "multi_thread")]
async fn i2_five_times_the_same_id_is_one_message() {
    let mut bench = Bench::shared(2, 2).await;
    pair(&mut bench).await;
    five_times(&bench.scenario);
    let verdict = bench.settle_well().await;
    assert_eq!(verdict.delivered, 2);
    let room = bench.scenario.room_at(0).id;
    assert_eq!(bench.seqs(1, 1, room).await, [1, 2]);
}

/// I2, trap 4: the classifier is killed after the commit and before the route. Redis stands still, so it
/// can't look up a route; the row in Postgres says that it has committed. After 0.25 s it would send to all gateways, so the
/// kill races with that; what has arrived says who won, and the test goes on until the kill did. The sessions have settled
/// before: what arrives was routed again, no session reads it by itself within the time of this test.
#[tokio::test(flavor = "multi_thread")]
async fn i2_killed_between_commit_and_route() {
    let redis = RedisAlone::start(RedisKind::One).await.unwrap();
    let mut bench = Bench::with_redis(&redis, 2, 2, &[]).await;
    pair(&mut bench).await;
    let store = bench.store().await;
    let (room, lane) = room_and_lane(&bench);
    settled(&bench).await;
    let reader = bench.scenario.session(1).user();
    let mut messages = 0;
    loop {
        assert!(messages < 20, "each was routed before the kill");
        let owner = owner_of(&store, lane).await;
        // What the look-up may still answer from its cache is over after `ROUTE_CACHE`.
        sleep(routing::ROUTE_CACHE).await;

        redis.all()[0].pause();
        five_times(&bench.scenario);
        messages += 1;
        until("the message stored", PATIENCE, || async {
            let page = store
                .history(reader, room, store::Page::After(protocol::Seq::ZERO), 50)
                .await
                .ok()??;
            (page.events.len() == 1 + messages).then_some(())
        })
        .await;
        bench.cluster.classifier(owner).kill();
        let row = lane_row(&store, lane).await;
        let arrived = bench.scenario.verdict().delivered;
        redis.all()[0].resume();
        if arrived == 2 * (wide(messages) - 1) {
            break;
        }
        taken_over(&store, &row).await;
        bench.cluster.classifier(owner).restart().await.unwrap();
    }
    let verdict = bench.settle_well().await;
    assert_eq!(verdict.delivered, 2 * wide(messages));
    let last = 1 + i64::try_from(messages).unwrap();
    let all: Vec<_> = (1..=last).collect();
    assert_eq!(bench.seqs(1, 1, room).await, all);
}

/// I2: the classifier is killed after the route and before `routed` has moved: the next owner routes it
/// again, and the sessions see it once. `routed` moves with the next renewal at the latest, so the kill
/// races with it; the lane's row says who won, and the test goes on until the kill did.
#[tokio::test(flavor = "multi_thread")]
async fn i2_killed_between_route_and_the_move_of_routed() {
    let mut bench = Bench::shared(2, 2).await;
    pair(&mut bench).await;
    let store = bench.store().await;
    let (_, lane) = room_and_lane(&bench);
    let mut messages = 0;
    for attempt in 1.. {
        assert!(attempt <= 20, "the kill never came before `routed` moved");
        let owner = owner_of(&store, lane).await;
        five_times(&bench.scenario);
        messages += 1;
        until("the message seen", PATIENCE, || async {
            (bench.scenario.verdict().delivered >= 2 * messages).then_some(())
        })
        .await;
        bench.cluster.classifier(owner).kill();
        let row = lane_row(&store, lane).await;
        let hit = row.routed < row.applied;
        taken_over(&store, &row).await;
        bench.cluster.classifier(owner).restart().await.unwrap();
        if hit {
            break;
        }
    }
    let verdict = bench.settle_well().await;
    assert_eq!(verdict.delivered, 2 * messages);
}

/// Waits until somebody else has the lane of a dead owner.
async fn taken_over(store: &store::Store, before: &store::LaneRow) {
    until("a new owner", PATIENCE, || async {
        let now = lane_row(store, before.lane).await;
        (now.epoch > before.epoch && now.owner.is_some()).then_some(())
    })
    .await;
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap()
}

/// Waits until the only session of each of both gateways has had its two answers: the catch-up's and the settle's.
async fn settled(bench: &Bench) {
    for was in [0, 1] {
        until("the settle", PATIENCE, || async {
            let answers = metric(bench.cluster.was(was), "was_catch_up_seconds_count").await?;
            (answers >= 2.0).then_some(())
        })
        .await;
    }
}

fn room_and_lane(bench: &Bench) -> (protocol::RoomId, Lane) {
    let room = bench.scenario.room_at(0).id;
    (room, lane_of(room, 6))
}

async fn lane_row(store: &store::Store, lane: Lane) -> store::LaneRow {
    let table = store.lane_table().await.unwrap();
    table
        .lanes
        .into_iter()
        .find(|row| row.lane == lane)
        .unwrap()
}

/// The index in the cluster of the classifier that owns the lane.
async fn owner_of(store: &store::Store, lane: Lane) -> usize {
    let owner = until("an owner", PATIENCE, || async {
        lane_row(store, lane).await.owner
    })
    .await;
    let number: usize = owner.strip_prefix("classifier-").unwrap().parse().unwrap();
    number - 1
}
