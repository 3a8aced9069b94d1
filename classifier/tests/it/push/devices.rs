//! Devices told through FCM, which fails at will.

use std::time::Duration;

use protocol::Platform;
use serde_json::json;

use super::bench::{Bench, QUICK, user};
use super::fcm::Said;

/// Each device is told everything in order, with access that was asked for once; who has no device
/// is told by nobody; a webhook beside it is told, too.
#[tokio::test(flavor = "multi_thread")]
async fn i8_every_device_is_told_in_order() {
    let bench = Bench::with_both(QUICK).await;
    bench.store.create_or_get_user("ann").await.unwrap();
    bench.device(user(3), Platform::Android, "phone").await;
    bench.device(user(3), Platform::Ios, "tablet").await;
    bench.put(user(3), 1..=60).await;
    bench.put(user(5), 1..=1).await;
    let running = bench.start().await;
    running.ended("delivered", 61).await;
    let all: Vec<i64> = (1..=60).collect();
    assert_eq!(bench.fcm.taken("phone"), all);
    assert_eq!(bench.fcm.taken("tablet"), all);
    assert_eq!(bench.fcm.grants(), 1);
    let sent = bench.fcm.sent();
    let first = |device: &str| sent.iter().find(|one| one.device == device).unwrap();
    let phone = &first("phone").message;
    assert_eq!(
        phone["notification"],
        json!({ "title": "ann", "body": "created" })
    );
    assert_eq!(phone["android"]["notification"]["tag"], "7:1");
    assert_eq!(
        first("tablet").message["apns"]["headers"]["apns-collapse-id"],
        "7:1"
    );
    let posted: usize = bench
        .hook
        .requests()
        .iter()
        .map(|one| super::seqs(&one.body).len())
        .sum();
    assert_eq!(posted, 61);
    running.stop().await;
    assert_eq!(bench.committed().await, 61);
}

/// What FCM calls gone is removed; the user's other devices go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_gone_is_removed() {
    let bench = Bench::with_fcm(QUICK).await;
    for (device, said) in [
        ("old", Some(Said::Unregistered)),
        ("none", Some(Said::NoToken)),
        ("phone", None),
    ] {
        bench.device(user(3), Platform::Android, device).await;
        if let Some(said) = said {
            bench.fcm.always_for(device, said);
        }
    }
    bench.device(user(5), Platform::Web, "page").await;
    bench.fcm.always_for("page", Said::Unregistered);
    bench.put(user(3), 1..=3).await;
    bench.put(user(5), 1..=2).await;
    let running = bench.start().await;
    running.ended("delivered", 3).await;
    // Of whom no device is left, nobody can be told.
    running.ended("nowhere", 2).await;
    assert_eq!(running.removed(), 3);
    assert_eq!(bench.fcm.taken("phone"), [1, 2, 3]);
    let left = bench.store.devices(user(3)).await.unwrap();
    let left: Vec<&str> = left.iter().map(|one| one.token.expose()).collect();
    assert_eq!(left, ["phone"]);
    assert!(bench.store.devices(user(5)).await.unwrap().is_empty());
    // Nothing more was sent to it than what told that it is gone.
    let gone = bench.fcm.sent();
    let asked = |device: &str| gone.iter().filter(|one| one.device == device).count();
    assert_eq!((asked("old"), asked("none"), asked("page")), (1, 1, 1));
    running.stop().await;
}

/// A quota is left alone for as long as it says, trouble is tried again; order stays, and nobody waits
/// for another.
#[tokio::test(flavor = "multi_thread")]
async fn i8_fcm_that_fails_is_asked_again() {
    let bench = Bench::with_fcm(QUICK).await;
    bench.device(user(3), Platform::Android, "phone").await;
    bench.device(user(5), Platform::Android, "other").await;
    let troubles = [Said::Quota(2), Said::Status(503), Said::Status(404)];
    bench.fcm.next_for("phone", &troubles);
    // Until the other one has been told, and the fourth was refused.
    bench.fcm.always_for("phone", Said::Status(500));
    bench.put(user(3), 1..=2).await;
    let running = bench.start().await;
    bench.fcm.asked("phone", 1).await;
    bench.put(user(5), 1..=1).await;
    running.ended("delivered", 1).await;
    assert_eq!(bench.fcm.taken("other"), [1]);
    bench.fcm.asked("phone", 4).await;
    bench.fcm.always_for("phone", Said::Taken);
    running.ended("delivered", 3).await;
    assert_eq!(bench.fcm.taken("phone"), [1, 2]);
    let sent = bench.fcm.sent();
    let phone: Vec<_> = sent.iter().filter(|one| one.device == "phone").collect();
    assert!(phone.iter().map(|one| one.seq).is_sorted(), "{sent:?}");
    assert!(phone[1].at - phone[0].at >= Duration::from_secs(2));
    assert!(phone[2].at - phone[1].at >= Duration::from_millis(250));
    assert!(running.requests("fcm", "again") >= 4);
    // A 404 without FCM's own word is somebody's mistake, and no reason to forget a device.
    assert_eq!(running.removed(), 0);
    running.stop().await;
}

/// Access that is refused, or good no more, is asked for anew.
#[tokio::test(flavor = "multi_thread")]
async fn access_is_asked_for_again_when_it_has_to_be() {
    let bench = Bench::with_fcm(QUICK).await;
    bench.device(user(3), Platform::Android, "phone").await;
    bench.fcm.deny(1);
    bench.put(user(3), 1..=1).await;
    let running = bench.start().await;
    running.ended("delivered", 1).await;
    let before = running.requests("fcm", "again");
    assert!(before >= 1);
    bench.fcm.revoke();
    bench.put(user(3), 2..=2).await;
    running.ended("delivered", 2).await;
    assert_eq!(running.requests("fcm", "again"), before + 1);
    // The first one, the one that was good no more, and the one after it.
    assert_eq!(bench.fcm.grants(), 3);
    assert_eq!(bench.fcm.taken("phone"), [1, 2]);
    running.stop().await;
}

/// I11: what a device will never take, or not for too long, goes to `chat-dlq`, and what is behind it
/// goes on.
#[tokio::test(flavor = "multi_thread")]
async fn i11_what_no_device_takes_is_put_aside() {
    let bench = Bench::with_fcm(Duration::from_secs(2)).await;
    bench.device(user(3), Platform::Android, "phone").await;
    bench.device(user(5), Platform::Android, "away").await;
    bench.fcm.next_for("phone", &[Said::Status(400)]);
    bench.fcm.always_for("away", Said::Status(500));
    bench.put(user(3), 1..=2).await;
    bench.put(user(5), 1..=2).await;
    let running = bench.start().await;
    running.ended("given_up", 3).await;
    running.ended("delivered", 1).await;
    assert_eq!(bench.fcm.taken("phone"), [2]);
    let mut letters = bench.letters(3).await;
    letters.sort();
    let given_up = |id: i64| (String::from("given_up"), id.to_string());
    assert_eq!(letters, [given_up(3), given_up(5), given_up(5)]);
    running.stop().await;
    assert_eq!(bench.committed().await, 4);
}
