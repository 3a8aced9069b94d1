//! What a classifier tells of its lanes.

use std::time::Duration;

use stack::{Proxy, Stack};

use super::bench::{Bench, PATIENCE, user};
use super::say;

/// What the classifier answers at `/metrics`.
async fn metrics(bench: &Bench) -> String {
    let url = format!("{}/metrics", bench.cluster.classifier(0).admin_url());
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

/// Waits until each lane is so far behind.
async fn behind(bench: &Bench, lanes: [i64; 2]) -> String {
    let lines = [0, 1].map(|lane| {
        let count = lanes[lane];
        format!("classifier_lane_behind{{lane=\"{lane}\"}} {count}")
    });
    until(bench, &lines).await
}

/// Waits until all of these lines are among them.
async fn until(bench: &Bench, lines: &[String]) -> String {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let text = metrics(bench).await;
        if lines.iter().all(|line| text.lines().any(|one| one == line)) {
            return text;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{lines:?} in {text}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The owner tells for each of its lanes how many commands Kafka has acknowledged that are not routed
/// yet: with Postgres held up, all that come; and none once it goes on. Every metric is documented.
#[tokio::test(flavor = "multi_thread")]
async fn lanes_tell_how_far_they_are_behind() {
    let space = Stack::shared().await.unwrap().space().await.unwrap();
    let (server, database) = space.postgres_url().rsplit_once('/').unwrap();
    let (user_at, port) = server.rsplit_once(':').unwrap();
    let proxy = Proxy::before(port.parse().unwrap()).unwrap();
    let url = format!("{user_at}:{}/{database}", proxy.port());
    let env = vec![("SWITCHBOARD_POSTGRES_URL".to_owned(), url)];
    let mut bench = Bench::start_in(space, 1, env).await;
    bench.gateways.connect(user(1), 1).await;
    let rooms = [
        bench.create_group_in_lane(0).await,
        bench.create_group_in_lane(1).await,
    ];
    behind(&bench, [0, 0]).await;

    proxy.cut();
    // Nor on the connections that are there: a batch that was sent and is not answered would be unknown in the end, and its
    // lane lost. So none is sent.
    proxy.reset();
    until(&bench, &["postgres_pool{state=\"idle\"} 0".into()]).await;
    for (room, count) in rooms.into_iter().zip([3, 1]) {
        for _ in 0..count {
            bench.command(room, 1, say("held up")).await;
        }
    }
    behind(&bench, [3, 1]).await;
    proxy.heal();
    let text = behind(&bench, [0, 0]).await;
    for room in rooms {
        assert!(bench.gateways.has_seq(1, room, 2, PATIENCE).await);
    }

    for line in [
        "switchboard_lanes 2",
        "switchboard_homes 4",
        "ready{condition=\"kafka\"} 1",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} in {text}");
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
    let documents = std::fs::read_to_string(path).unwrap();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        let documented = [format!("`{name}`"), format!("`{name}{{")];
        assert!(
            documented.iter().any(|one| documents.contains(one)),
            "{name} is not in {path}"
        );
    }
}
