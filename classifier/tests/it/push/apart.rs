//! The trouble of one user or device is nobody else's.

use protocol::Platform;

use super::bench::{Bench, QUICK, user};
use super::fcm::Said;

/// I9: as many users as are told at once have to be waited for, each longer than this test lasts; the
/// next one is told meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn i9_who_is_told_later_keeps_nobody_waiting() {
    let bench = Bench::with_fcm(QUICK).await;
    let slow = 3..=10;
    for id in slow.clone() {
        let phone = format!("phone-{id}");
        bench.device(user(id), Platform::Android, &phone).await;
        bench.fcm.always_for(&phone, Said::Quota(60));
        bench.put(user(id), 1..=1).await;
    }
    bench.device(user(11), Platform::Android, "phone").await;
    let running = bench.start().await;
    for id in slow {
        bench.fcm.asked(&format!("phone-{id}"), 1).await;
    }
    bench.put(user(11), 1..=3).await;
    running.ended("delivered", 3).await;
    assert_eq!(bench.fcm.taken("phone"), [1, 2, 3]);
    running.stop().await;
}

/// A device that is signed in to by somebody else, or signed out, is not told what was to be tried
/// again.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_told_only_while_it_is_the_users() {
    let bench = Bench::with_fcm(QUICK).await;
    for (id, device) in [(3, "sold"), (4, "out")] {
        bench.device(user(id), Platform::Android, device).await;
        bench.fcm.next_for(device, &[Said::Status(500)]);
        bench.fcm.hold(device);
        bench.put(user(id), 1..=2).await;
    }
    let running = bench.start().await;
    bench.fcm.asked("sold", 1).await;
    bench.fcm.asked("out", 1).await;
    bench.device(user(5), Platform::Android, "sold").await;
    let out = bench.store.devices(user(4)).await.unwrap()[0].id;
    assert!(bench.store.remove_device(user(4), out).await.unwrap());
    bench.fcm.release();
    running.ended("nowhere", 4).await;
    assert_eq!(bench.fcm.sent().len(), 2);
    assert_eq!(running.removed(), 0);
    assert_eq!(bench.store.devices(user(5)).await.unwrap().len(), 1);
    running.stop().await;
}

/// A device that FCM refuses for good stays, for the mistake may be ours; what another device of the
/// user has is told and not put aside, and access to FCM is not asked for again.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_device_never_takes_another_may_have() {
    let bench = Bench::with_fcm(QUICK).await;
    for (id, platform, device, said) in [
        (3, Platform::Ios, "tablet", Said::ThirdParty),
        (3, Platform::Web, "page", Said::OtherSender),
        (3, Platform::Android, "phone", Said::Taken),
        (5, Platform::Ios, "only", Said::ThirdParty),
    ] {
        bench.device(user(id), platform, device).await;
        bench.fcm.always_for(device, said);
    }
    bench.put(user(3), 1..=2).await;
    bench.put(user(5), 1..=1).await;
    let running = bench.start().await;
    running.ended("delivered", 2).await;
    running.ended("given_up", 1).await;
    assert_eq!(bench.fcm.taken("phone"), [1, 2]);
    // Asked once for each push.
    assert_eq!(running.requests("fcm", "refused"), 5);
    assert_eq!(running.requests("fcm", "again"), 0);
    assert_eq!(bench.fcm.grants(), 1);
    assert_eq!(running.removed(), 0);
    let letter = (String::from("given_up"), String::from("5"));
    assert_eq!(bench.letters(1).await, [letter]);
    running.stop().await;
    assert_eq!(bench.committed().await, 3);
}
