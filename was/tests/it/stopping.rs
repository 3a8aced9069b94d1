//! A stop under the eyes of the sessions that it sends away.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::house::{Gateway, House, PATIENCE, until};
use crate::socket::Socket;

const SESSIONS: usize = 12;
const SPREAD: Duration = Duration::from_secs(5);

async fn sessions(gateway: &Gateway) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for n in 0..SESSIONS {
        let device = format!("device-{n}");
        sockets.push(gateway.session("ann", &device, &[]).await);
    }
    sockets
}

/// Sessions are sent away one after the other, over the time that is set; whoever is still there is
/// served as ever, while the gateway is not ready from the first moment on. No route stays behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_spreads_its_byes_and_serves_who_is_left() {
    let house = House::new().await;
    let mut desk = house.desk().await;
    let env = [
        ("SWITCHBOARD_WAS_DRAIN", "40s"),
        ("SWITCHBOARD_WAS_DRAIN_SPREAD", "5s"),
    ];
    let mut gateway = house.gateway("was-0", &env).await;
    let (ann, _) = gateway.token("ann").await;
    desk.create(1, &[ann]).await;
    let sockets = sessions(&gateway).await;
    let home = desk.routes_of(ann, SESSIONS).await[0].home;

    let begun = Instant::now();
    gateway.signal(Signal::TERM);
    until("not ready", || async {
        match gateway.readiness().await {
            (503, reason) if reason.contains("stopping") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let event = desk.store(1, ann, &["while it stops"]).await.remove(0);
    desk.send(home, &event, &[ann]).await;

    let mut leaving = tokio::task::JoinSet::new();
    for mut socket in sockets {
        leaving.spawn(async move {
            let (code, frames) = socket.closed().await;
            assert_eq!(code, 1001);
            let bye = frames.last().unwrap();
            assert_eq!(bye["code"], "going_away");
            assert!(bye["retry_after_ms"].as_u64().unwrap() < 200);
            (begun.elapsed(), frames[0]["type"] == "message")
        });
    }
    let left = leaving.join_all().await;
    let last = left.iter().map(|left| left.0).max().unwrap();
    // The last one's moment is in the last part of the spread.
    let least = SPREAD - SPREAD / u32::try_from(SESSIONS).unwrap();
    assert!(last >= least, "all gone after {last:?}");
    let served = left.iter().filter(|left| left.1).count();
    assert!(served > 0, "nobody was served while others left");

    let ended = tokio::time::timeout(PATIENCE, gateway.child.wait()).await;
    assert_eq!(ended.unwrap().unwrap().code(), Some(0));
    desk.routes_of(ann, 0).await;
}

/// A second signal ends a stop that has time left, and says so by the exit code.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_stop() {
    let house = House::new().await;
    let env = [
        ("SWITCHBOARD_WAS_DRAIN", "4m"),
        ("SWITCHBOARD_WAS_DRAIN_SPREAD", "2m"),
    ];
    let mut gateway = house.gateway("was-0", &env).await;
    let _sockets = sessions(&gateway).await;
    gateway.signal(Signal::TERM);
    until("stopping", || async {
        match gateway.readiness().await {
            (503, _) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    gateway.signal(Signal::TERM);
    let ended = tokio::time::timeout(PATIENCE, gateway.child.wait()).await;
    assert_eq!(ended.unwrap().unwrap().code(), Some(1));
}
