//! Our own processes as a test finds them: ready, stoppable, and back under the same address.

use std::{fs, time::Duration};

use stack::{Cluster, ClusterOptions, Stack};

#[tokio::test]
async fn a_cluster_is_ready_obeys_and_ends_drained() {
    let stack = Stack::shared().await.unwrap();
    let space = stack.space().await.unwrap();
    let options = ClusterOptions {
        was: 2,
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(&space, options).await.unwrap();
    assert_eq!(cluster.urls().len(), 2);

    let was = cluster.was(0);
    assert!(was.rss() > 1_000_000, "{}", was.rss());
    was.kill();
    let ended = was.check_alive().unwrap_err().to_string();
    assert!(ended.starts_with("was-1 ended"), "{ended}");
    let log = fs::read_to_string(was.log()).unwrap();
    let last = log.lines().last().unwrap();
    assert!(ended.contains(last), "the log has no end: {ended}");
    was.restart().await.unwrap();

    cluster.classifier(0).pause();
    assert!(cluster.classifier(0).is_running());
    cluster.classifier(0).resume();

    was.terminate();
    let status = was.exited(Duration::from_mins(3)).await.unwrap();
    assert!(status.success(), "{status}: {}", was.log_tail());
    cluster.stop().await.unwrap();
}
