//! What is told is what is there when it is told.

use protocol::Platform;

use super::bench::{Bench, QUICK, user};
use super::fcm::Said;
use super::hook::Answer;

/// Deleted before anybody is told, edited and deleted while the webhook does not take it: each request
/// says what is there then.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_what_is_there_when_it_is_asked() {
    let mut bench = Bench::new(QUICK).await;
    bench.hook.always_for(3, Answer::Status(503));
    bench.put(user(3), 2..=5).await;
    bench.talk.delete(5).await;
    let running = bench.start().await;
    bench.hook.asked(3, 1).await;
    bench.talk.edit(2, "mended").await;
    bench.talk.delete(3).await;
    // The next one may have been read before; the one after it is not.
    let asked = bench.hook.requests().len();
    bench.hook.asked(3, asked + 1).await;
    bench.hook.always_for(3, Answer::Status(200));
    running.ended("delivered", 2).await;
    running.ended("nothing", 2).await;
    let requests = bench.hook.requests();
    let taken = requests.iter().filter(|request| request.taken);
    let messages = taken.flat_map(|request| request.body["messages"].as_array().unwrap());
    let told = messages.map(|one| (one["seq"].as_i64(), one["preview"].as_str()));
    let expected = [(Some(2), Some("mended")), (Some(4), Some("message 4"))];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    running.stop().await;
    assert_eq!(bench.committed().await, 4);
}

/// The same on a device, and for what waits behind the one that is not taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_told_what_is_there_when_it_is_asked() {
    let mut bench = Bench::with_fcm(QUICK).await;
    bench.device(user(3), Platform::Android, "phone").await;
    bench.fcm.always_for("phone", Said::Status(500));
    bench.put(user(3), 2..=4).await;
    let running = bench.start().await;
    bench.fcm.asked("phone", 1).await;
    bench.talk.edit(2, "mended").await;
    bench.talk.delete(3).await;
    let asked = bench.fcm.sent().len();
    bench.fcm.asked("phone", asked + 1).await;
    bench.fcm.always_for("phone", Said::Taken);
    running.ended("delivered", 2).await;
    running.ended("nothing", 1).await;
    assert_eq!(bench.fcm.taken("phone"), [2, 4]);
    let sent = bench.fcm.sent();
    let mut taken = sent.iter().filter(|one| one.taken);
    let first = &taken.next().unwrap().message;
    assert_eq!(first["notification"]["body"], "mended");
    running.stop().await;
    assert_eq!(bench.committed().await, 3);
}
