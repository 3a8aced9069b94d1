//! What users do beside sending: they come and go, type, read, call the REST API. Nobody judges it; servers may be away.

use std::time::Duration;

use client::Rest;
use protocol::{MessageId, RoomId, Seq};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use crate::scenario::Scenario;

const TURN: Duration = Duration::from_millis(500);
/// Who stays; who comes and goes; who goes without waiting for an answer.
const GUESTS: [usize; 3] = [0, 1, 2];

/// Until it is dropped.
pub(super) struct Bustle {
    _guests: AbortOnDropHandle<()>,
    _caller: AbortOnDropHandle<()>,
}

/// Three users in a group of their own.
pub(super) async fn start(urls: Vec<String>) -> anyhow::Result<Bustle> {
    let mut scenario = Scenario::new(urls);
    scenario.users(GUESTS.len()).await?;
    let at = scenario.room(&GUESTS).await?;
    let room = scenario.room_at(at).id;
    scenario.connect_all().await?;
    let caller = call(scenario.rest(0, 0), room);
    Ok(Bustle {
        _guests: AbortOnDropHandle::new(tokio::spawn(come_and_go(scenario, at, room))),
        _caller: AbortOnDropHandle::new(tokio::spawn(caller)),
    })
}

async fn come_and_go(mut scenario: Scenario, at: usize, room: RoomId) {
    let [stays, goes, hastens] = GUESTS;
    let mut turns = interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        scenario.leave(goes).await;
        // What fails here is seen in the metrics, which this is for.
        _ = scenario.say(stays, at, "hello");
        if let Some(client) = scenario.session(stays).client() {
            client.typing(room);
            let seen = client.cursors().get(&room).copied();
            client.read(room, seen.unwrap_or(Seq::ZERO));
        }
        _ = scenario.say(hastens, at, "bye");
        tokio::task::yield_now().await;
        scenario.leave(hastens).await;
        turns.tick().await;
        _ = scenario.connect_all().await;
    }
}

async fn call(rest: Rest, room: RoomId) {
    let mut turns = interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        _ = rest.rooms().await;
        _ = rest.room(room).await;
        _ = rest.rename(room, "guests", MessageId::now_v7()).await;
    }
}
