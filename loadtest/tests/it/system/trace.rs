//! A message's trace, over the processes that it passes; and that nothing depends on it.

use std::time::Duration;

use loadtest::{Paced, Scenario};
use service::kafka::{Consumer, Incoming, KafkaSettings};
use service::trace::TRACEPARENT;
use stack::{Cluster, ClusterOptions, Collected, Collector, Space, Stack};
use tokio::net::TcpListener;

use super::bench::{Bench, PATIENCE, until};

const LANES: i32 = 2;
const HOMES: i32 = 4;
/// Partitions of `chat-push`, as `setup` makes them.
const PUSHES: i32 = 12;

/// Two gateways, a classifier and a push worker, which tell spans to `endpoint`, if there is one.
async fn bench(endpoint: Option<&str>, webhook: &str) -> Bench {
    let space = Stack::shared().await.unwrap().space().await.unwrap();
    let secret = "x".repeat(32);
    let mut env = vec![
        ("SWITCHBOARD_PUSH_WEBHOOK_URL", webhook),
        ("SWITCHBOARD_PUSH_WEBHOOK_SECRET", &secret),
        ("SWITCHBOARD_PUSH_WAIT", "100ms"),
        ("SWITCHBOARD_TRACE_SAMPLE", "1"),
    ];
    env.extend(endpoint.map(|endpoint| ("SWITCHBOARD_TRACE_ENDPOINT", endpoint)));
    let env = env.into_iter();
    let options = ClusterOptions {
        was: 2,
        classifiers: 1,
        pushers: 1,
        lanes: LANES,
        homes: HOMES,
        env: env.map(|(key, value)| (key.into(), value.into())).collect(),
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(&space, options).await.unwrap();
    let mut scenario = Scenario::new(cluster.urls());
    // One on each gateway, and one who is away: before the room is made, as whom its event was not for is not looked for
    // again at once.
    scenario.users(3).await.unwrap();
    scenario.connect_to(0, 0).await.unwrap();
    scenario.connect_to(1, 1).await.unwrap();
    scenario.room(&[0, 1, 2]).await.unwrap();
    Bench {
        scenario,
        cluster,
        space,
    }
}

/// All records of the first partitions of a topic.
async fn records(space: &Space, topic: &str, partitions: i32) -> Vec<Incoming> {
    let settings = KafkaSettings::plain(space.kafka_brokers(), space.topic_prefix());
    let consumer = Consumer::start(&settings, "looking", "looking").unwrap();
    let topic = format!("{}{topic}", space.topic_prefix());
    let mut records = Vec::new();
    for partition in 0..partitions {
        let marks = consumer.watermarks(&topic, partition, PATIENCE).await;
        let marks = marks.unwrap();
        let mut feed = consumer.add(&topic, partition, marks.low).unwrap();
        for _ in marks.low..marks.high {
            records.push(feed.recv().await.unwrap());
        }
    }
    records
}

/// The spans of a trace as lines, each under its parent: name and who told it.
fn tree(spans: &[Collected], under: &str, depth: usize, lines: &mut Vec<String>) {
    let mut here: Vec<&Collected> = spans.iter().filter(|span| span.parent == under).collect();
    let place = |span: &Collected| {
        let partition = span.attributes.get("messaging.destination.partition.id");
        (span.name.clone(), span.by.clone(), partition.cloned())
    };
    here.sort_by_key(|span| place(span));
    for span in here {
        lines.push(format!("{:depth$}{} by {}", "", span.name, span.by));
        tree(spans, &span.id, depth + 1, lines);
    }
}

/// The lines of the trace whose first span is `name`, under a span `above` that is not told here.
fn lines(spans: &[Collected], prefix: &str, name: &str, above: &str) -> Option<Vec<String>> {
    let mut entered = spans.iter().filter(|span| span.name == name);
    let entered = entered.find(|span| span.parent == above)?;
    let trace = spans.iter().filter(|span| span.trace == entered.trace);
    let trace: Vec<Collected> = trace.cloned().collect();
    let mut lines = Vec::new();
    tree(&trace, above, 0, &mut lines);
    // Every one of them is in the tree: none has a parent that never came.
    (lines.len() == trace.len()).then_some(())?;
    let plain = |line: String| line.replace(prefix, "");
    Some(lines.into_iter().map(plain).collect())
}

/// What a message's trace is: each span under the one that led to it, whoever told it.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_one_trace_over_all_processes() {
    const GIVEN: &str = "0af7651916cd43dd8448eb211c80319c";
    const ABOVE: &str = "b7ad6b7169203331";
    let collector = Collector::start().await.unwrap();
    let bench = bench(Some(&collector.endpoint()), &collector.endpoint()).await;
    let (room, prefix) = (bench.scenario.room_at(0).id, bench.space.topic_prefix());
    bench.scenario.say(0, 0, "hello").unwrap();
    bench.head(0, room, 2).await;
    // One that says itself that it is traced, and one that it is not.
    for (flags, name) in [("01", "seen"), ("00", "unseen")] {
        let url = format!("{}/v1/rooms/{room}", bench.cluster.was(0).url());
        let asked = reqwest::Client::new()
            .patch(url)
            .bearer_auth(bench.scenario.session(0).token())
            .header(TRACEPARENT, format!("00-{GIVEN}-{ABOVE}-{flags}"))
            .json(&serde_json::json!({ "name": name }));
        assert!(asked.send().await.unwrap().status().is_success());
    }
    let [gateway, other] = ["was-1", "was-2"].map(|name| format!("switchboard-was {name}"));
    let (classifier, push) = (
        "switchboard-classifier classifier-1",
        "switchboard-push push-1",
    );
    let expected = [
        format!("ws message by {gateway}"),
        format!(" send chat-send by {gateway}"),
        format!("  process chat-send by {classifier}"),
        format!("   append by {classifier}"),
        format!("   send chat-push by {classifier}"),
        format!("    process chat-push by {push}"),
        format!("   send chat-receive by {classifier}"),
        format!("    process chat-receive by {gateway}"),
        format!("   send chat-receive by {classifier}"),
        format!("    process chat-receive by {other}"),
    ];
    let what = "every span of the message";
    let found = until(what, PATIENCE, || async {
        let found = lines(&collector.spans(), &prefix, "ws message", "")?;
        (found.len() >= expected.len()).then_some(found)
    });
    assert_eq!(found.await, expected);
    // To the two gateways the event, to the first of them the answer as well.
    let route = "PATCH /v1/rooms/{room}";
    until("every span of the request", PATIENCE, || async {
        let found = lines(&collector.spans(), &prefix, route, ABOVE)?;
        let heard = |by: &String| found.iter().filter(|line| line.ends_with(by)).count();
        (found.len() == 12 && heard(&other) == 1).then_some(())
    })
    .await;

    let spans = collector.spans();
    let said = spans.iter().find(|span| span.name == "ws message").unwrap();
    // Beside them there is the making of the room.
    let of_both = |span: &&Collected| span.trace == said.trace || span.trace == GIVEN;
    for (name, outcome) in [
        ("process chat-send", "stored"),
        ("process chat-push", "delivered"),
    ] {
        let name = name.replace("chat", &format!("{prefix}chat"));
        let named = spans
            .iter()
            .filter(of_both)
            .filter(|span| span.name == name);
        let named: Vec<_> = named.collect();
        assert_eq!(named.len(), 2, "{name}");
        let ended = |span: &&Collected| span.attributes["switchboard.outcome"] == outcome;
        assert!(named.iter().all(ended), "{named:?}");
    }
    assert!(
        spans
            .iter()
            .all(|span| !span.failed && span.time.0 <= span.time.1)
    );
    let of_request: Vec<_> = spans.iter().filter(|span| span.name == route).collect();
    assert_eq!(of_request.len(), 1, "the other was not to be traced");
    assert_eq!(of_request[0].trace, GIVEN);
    // The room, the message, and the request that was to be traced.
    let sent = records(&bench.space, "chat-send", LANES).await;
    let with = sent.iter().filter(|record| record.headers.len() == 1);
    assert_eq!((sent.len(), with.count()), (4, 3));
}

/// Off by default: no record has a header of a trace.
#[tokio::test(flavor = "multi_thread")]
async fn without_an_endpoint_no_record_has_a_header() {
    let collector = Collector::start().await.unwrap();
    let mut bench = bench(None, &collector.endpoint()).await;
    let room = bench.scenario.room_at(0).id;
    bench.scenario.say(0, 0, "hello").unwrap();
    bench.head(0, room, 2).await;
    bench.scenario.connect(2, 0).await.unwrap();
    bench.settle_well().await;
    for (topic, partitions, least) in [
        ("chat-send", LANES, 2),
        ("chat-receive", 1 + HOMES, 2),
        ("chat-push", PUSHES, 1),
    ] {
        let records = records(&bench.space, topic, partitions).await;
        assert!(records.len() >= least, "{topic}: {}", records.len());
        for record in records {
            assert_eq!(record.header(TRACEPARENT), None, "{topic}");
            assert!(topic != "chat-send" || record.headers.is_empty());
        }
    }
    assert_eq!(collector.spans(), []);
}

/// I1, I2, I5: a collector that takes connections and never answers loses, doubles and holds up nothing.
#[tokio::test(flavor = "multi_thread")]
async fn i5_a_collector_that_hangs_changes_nothing() {
    let hangs = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", hangs.local_addr().unwrap());
    let mut bench = bench(Some(&endpoint), &endpoint).await;
    bench.scenario.connect(2, 0).await.unwrap();
    let paced = Paced {
        rate: 200.0,
        lasting: Duration::from_secs(2),
        ..Paced::default()
    };
    bench.scenario.send(&paced).await;
    let verdict = bench.settle_well().await;
    assert_eq!((verdict.accepted, verdict.delivered), (400, 400 * 3));
    bench.cluster.stop().await.unwrap();
}
