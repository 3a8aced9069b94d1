//! Two stages, and a task that dies unasked ends the service.

use std::time::Duration;

use service::lifecycle::{Failure, Lifecycle};
use tokio_util::sync::CancellationToken;

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_drain_waits_for_tasks_and_drops_supporting_ones_after_them() {
    let lifecycle = Lifecycle::new(LONG);
    let (order, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let drain = lifecycle.drain().clone();
    let said = order.clone();
    lifecycle.spawn("lane", async move {
        drain.cancelled().await;
        tokio::task::yield_now().await;
        let _ = said.send("lane ended");
    });
    struct Dropped(tokio::sync::mpsc::UnboundedSender<&'static str>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            let _ = self.0.send("renewals ended");
        }
    }
    let dropped = Dropped(order);
    lifecycle.support("renewals", async move {
        let _dropped = dropped;
        std::future::pending::<()>().await;
    });
    lifecycle.drain().cancel();
    assert_eq!(lifecycle.wait().await, Ok(()));
    assert_eq!(seen.recv().await, Some("lane ended"));
    assert_eq!(seen.recv().await, Some("renewals ended"));
}

#[tokio::test]
async fn a_task_that_ends_unasked_ends_the_service_with_its_name() {
    let failed = |lifecycle: Lifecycle| async move {
        match lifecycle.wait().await {
            Err(Failure::Task { task, reason }) => (task, reason),
            other => panic!("{other:?}"),
        }
    };

    let lifecycle = Lifecycle::new(LONG);
    lifecycle.spawn("returns", async {});
    assert_eq!(failed(lifecycle).await.0, "returns");

    let lifecycle = Lifecycle::new(LONG);
    lifecycle.spawn("fails", async { Err::<(), _>("no more disk") });
    assert_eq!(
        failed(lifecycle).await,
        ("fails".to_owned(), "no more disk".to_owned())
    );

    let lifecycle = Lifecycle::new(LONG);
    lifecycle.support("panics", async {
        if lifecycle_is_up() {
            panic!("on purpose");
        }
    });
    assert_eq!(
        failed(lifecycle).await,
        ("panics".to_owned(), "it panicked".to_owned())
    );
}

fn lifecycle_is_up() -> bool {
    true
}

/// A producer that can't go on ends the service; one that can is let go with it.
#[tokio::test]
async fn what_fails_for_good_ends_the_service() {
    for fails in [true, false] {
        let lifecycle = Lifecycle::new(LONG);
        let (fatal, stop) = (CancellationToken::new(), CancellationToken::new());
        lifecycle.fatal("producer", fatal.clone(), stop.clone());
        let expected = if fails {
            fatal.cancel();
            let (task, reason) = ("producer".to_owned(), "failed for good".to_owned());
            Err(Failure::Task { task, reason })
        } else {
            lifecycle.drain().cancel();
            stop.cancel();
            Ok(())
        };
        assert_eq!(lifecycle.wait().await, expected);
    }
}

#[tokio::test]
async fn what_does_not_end_in_time_is_dropped_and_named() {
    let lifecycle = Lifecycle::new(Duration::from_millis(200));
    lifecycle.spawn("deaf", std::future::pending::<()>());
    lifecycle.drain().cancel();
    let before = std::time::Instant::now();
    assert_eq!(
        lifecycle.wait().await,
        Err(Failure::Dropped {
            tasks: vec!["deaf".to_owned()]
        })
    );
    assert!(before.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn the_second_stage_does_not_wait_for_the_deadline() {
    let lifecycle = Lifecycle::new(LONG);
    lifecycle.spawn("deaf", std::future::pending::<()>());
    lifecycle.drain().cancel();
    lifecycle.abort().cancel();
    let before = std::time::Instant::now();
    assert!(lifecycle.wait().await.is_err());
    assert!(before.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn signals_drain_then_abort() {
    let lifecycle = Lifecycle::new(LONG);
    lifecycle.hear_signals().unwrap();
    let me = rustix::process::getpid();
    rustix::process::kill_process(me, rustix::process::Signal::TERM).unwrap();
    lifecycle.drain().cancelled().await;
    assert!(!lifecycle.abort().is_cancelled());
    rustix::process::kill_process(me, rustix::process::Signal::TERM).unwrap();
    lifecycle.abort().cancelled().await;
}
