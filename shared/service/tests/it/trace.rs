//! Traces on their way to a collector, over a socket.

use std::time::{Duration, Instant};

use service::metrics::Metrics;
use service::settings::Values;
use service::trace::{Given, Kind, TraceSettings, Tracer, Traces, Who};
use stack::Collector;
use tokio::net::TcpListener;

const WHO: Who<'_> = Who {
    service: "switchboard-test",
    instance: "one",
};

fn read(args: &[&str]) -> (TraceSettings, String) {
    let args = args.iter().map(Into::into);
    let mut values = Values::load_from(&[TraceSettings::KEYS], &[], args, []);
    let settings = TraceSettings::read(&mut values);
    let mistakes = values.finish().err().map(|mistakes| mistakes.to_string());
    (settings, mistakes.unwrap_or_default())
}

fn start(args: &[&str], metrics: &Metrics) -> Traces {
    let (settings, mistakes) = read(args);
    assert_eq!(mistakes, "");
    Traces::start(&settings, WHO, metrics).unwrap()
}

fn enter(tracer: &Tracer, name: &str) -> bool {
    let span = tracer.enter(None, Kind::Server, || name.to_owned());
    let begun = span.is_some();
    if let Some(span) = span {
        span.end();
    }
    begun
}

/// What metrics say of spans, under a name with its label.
fn count(metrics: &Metrics, series: &str) -> u64 {
    let page = metrics.render();
    let line = page.lines().find_map(|line| line.strip_prefix(series));
    let line = line.unwrap_or_else(|| panic!("no {series} in {page}"));
    line.trim().parse().unwrap()
}

const EXPORTED: &str = "trace_spans_exported_total ";
const FULL: &str = "trace_spans_dropped_total{reason=\"full\"} ";
const UNREACHABLE: &str = "trace_spans_dropped_total{reason=\"unreachable\"} ";
const REFUSED: &str = "trace_spans_dropped_total{reason=\"refused\"} ";

#[test]
fn each_mistake_is_named_with_what_to_do_and_no_secret_is_shown() {
    let (_, mistakes) = read(&[
        "--trace-endpoint=collector:4318",
        "--trace-sample=1.5",
        "--trace-headers=hunter2",
    ]);
    for told in [
        "trace.endpoint = \"collector:4318\" (--trace-endpoint): expected http:// or https://",
        "trace.sample = \"1.5\" (--trace-sample): must be in 0.0..=1.0",
        "trace.headers (--trace-headers): expected name=value, separated by commas",
    ] {
        assert!(mistakes.contains(told), "{told} in {mistakes}");
    }
    assert!(!mistakes.contains("hunter2"), "{mistakes}");
    assert!(read(&["--trace-sample=NaN"]).1.contains("trace.sample"));
    assert_eq!(read(&[]).1, "");
}

/// Off by default: nothing begins, whatever a request or a record says.
#[tokio::test]
async fn without_an_endpoint_nothing_begins() {
    let metrics = Metrics::new();
    let traces = start(&["--trace-sample=1"], &metrics);
    let tracer = traces.tracer();
    let given = Given::read(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert!(tracer.enter(given, Kind::Server, String::new).is_none());
    let context = given.map(|given| given.context);
    assert!(tracer.sends(context, "chat").is_none());
    traces.finish().await;
    assert_eq!(count(&metrics, EXPORTED), 0);
}

/// A trace over two processes' worth of spans: each under the one before, with what it is and who tells it.
#[tokio::test]
async fn spans_come_with_their_parents_and_the_headers_of_the_settings() {
    let (collector, metrics) = (Collector::start().await.unwrap(), Metrics::new());
    let endpoint = format!("--trace-endpoint={}", collector.endpoint());
    let settings = [&endpoint, "--trace-sample=1", "--trace-headers=x-token=t0p"];
    let traces = start(&settings, &metrics);
    let tracer = traces.tracer();
    let mut entered = tracer
        .enter(None, Kind::Server, || "enter".to_owned())
        .unwrap();
    entered.note("switchboard.room", 7_i64);
    let sent = tracer.sends(Some(entered.context()), "chat").unwrap();
    let header = Given::read(&sent.context().write()).unwrap();
    let mut read = tracer
        .processes(Some(header.context), "chat", (3, 42))
        .unwrap();
    read.fail("timed_out");
    drop(tracer.sends(Some(read.context()), "never ended"));
    read.end();
    sent.end();
    entered.end();
    traces.finish().await;

    let spans = collector.spans();
    let [read, sent, entered] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(entered.parent, "");
    assert_eq!((&sent.parent, &read.parent), (&entered.id, &sent.id));
    assert!(spans.iter().all(|span| span.trace == entered.trace));
    assert!(spans.iter().all(|span| span.by == "switchboard-test one"));
    assert!(
        spans
            .iter()
            .all(|span| span.time.0 > 0 && span.time.0 <= span.time.1)
    );
    assert_eq!(entered.attributes["switchboard.room"], "7");
    assert_eq!(sent.name, "send chat");
    assert_eq!(read.attributes["messaging.destination.partition.id"], "3");
    assert_eq!(read.attributes["messaging.kafka.offset"], "42");
    assert!(read.failed && !sent.failed);
    assert_eq!(read.attributes["error.type"], "timed_out");
    let heads = collector.heads();
    let [head] = &heads[..] else {
        panic!("one request: {heads:?}");
    };
    assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
    assert!(head.contains("x-token: t0p"), "{head}");
    assert!(
        head.contains("content-type: application/x-protobuf"),
        "{head}"
    );
    assert_eq!(count(&metrics, EXPORTED), 3);
}

/// Whether a request is traced is its sender's to say; of those that say nothing, and only of those, a share.
#[tokio::test]
async fn the_sender_decides_else_chance_does() {
    let collector = Collector::start().await.unwrap();
    let endpoint = format!("--trace-endpoint={}", collector.endpoint());
    let given = |flags| {
        let text = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
        Given::read(text.as_bytes())
    };
    for (sample, least, most) in [("0", 0, 0), ("1", 2_000, 2_000), ("0.25", 350, 650)] {
        let traces = start(
            &[&endpoint, &format!("--trace-sample={sample}")],
            &Metrics::new(),
        );
        let tracer = traces.tracer();
        assert!(
            tracer
                .enter(given("00"), Kind::Server, String::new)
                .is_none()
        );
        let told = tracer
            .enter(given("01"), Kind::Server, String::new)
            .unwrap();
        assert_eq!(told.context().trace, given("01").unwrap().context.trace);
        // Nothing is ended, so nothing is sent.
        let by_chance = || tracer.enter(None, Kind::Server, String::new).is_some();
        let found = (0..2_000).filter(|_| by_chance()).count();
        assert!(
            (least..=most).contains(&found),
            "{found} of 2000 at {sample}"
        );
    }
    assert_eq!(collector.heads(), [""; 0]);
}

/// I9: a collector that takes a connection and never answers holds up nobody, and costs a bounded number of
/// spans; the others are counted. The end of the process waits for two seconds at most.
#[tokio::test]
async fn i9_a_collector_that_hangs_holds_up_nobody() {
    let (listener, metrics) = (
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        Metrics::new(),
    );
    let endpoint = format!("--trace-endpoint=http://{}", listener.local_addr().unwrap());
    let traces = start(&[&endpoint, "--trace-sample=1"], &metrics);
    let tracer = traces.tracer();
    let begun = Instant::now();
    for _ in 0..5_000 {
        assert!(enter(&tracer, "one"));
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "it never waits");
    // The exporter has not had its turn yet: all that fits is the queue.
    assert_eq!(count(&metrics, FULL), 5_000 - 2_048);
    let begun = Instant::now();
    traces.finish().await;
    // Without a bound of its own it would try for 27 s: four times 5 s, and the pauses between.
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(count(&metrics, EXPORTED), 0);
    drop(listener);
}

/// What a collector refuses for good is dropped at once, and counted; what it can't take just now is sent again.
#[tokio::test]
async fn what_passes_is_tried_again_what_does_not_is_counted() {
    let (collector, metrics) = (Collector::start().await.unwrap(), Metrics::new());
    let endpoint = format!("--trace-endpoint={}", collector.endpoint());
    let traces = start(&[&endpoint, "--trace-sample=1"], &metrics);
    let tracer = traces.tracer();
    let requests = async |count: usize| {
        let wait = async {
            while collector.heads().len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), wait).await;
        assert!(
            waited.is_ok(),
            "{count} requests, came {:?}",
            collector.heads()
        );
    };
    collector.answer("401 Unauthorized");
    enter(&tracer, "refused");
    requests(1).await;
    collector.answer("503 Service Unavailable");
    enter(&tracer, "again");
    requests(2).await;
    collector.answer("200 OK");
    requests(3).await;
    let spans = collector.spans();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].name, "again");
    drop(collector);
    enter(&tracer, "away");
    traces.finish().await;
    assert_eq!(count(&metrics, REFUSED), 1);
    assert_eq!(count(&metrics, EXPORTED), 1);
    assert_eq!(count(&metrics, UNREACHABLE), 1);
}
