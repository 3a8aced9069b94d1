//! The breaker, the storm and the soak as programs, on a small scale.

use std::path::Path;

use serde_json::Value;

use crate::program::told_alone;

fn number(row: &Value, name: &str) -> u64 {
    row[name]
        .as_u64()
        .unwrap_or_else(|| panic!("{name}: {row:#}"))
}

fn ms(row: &Value, value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{row:#}"))
}

/// Each accepted message arrived at both members, once and in order (I5); at those who vanish, some.
fn nothing_is_amiss(row: &Value) {
    assert!(
        number(row, "delivered") >= 2 * number(row, "accepted"),
        "{row:#}"
    );
    for fault in ["lost", "duplicated", "out_of_order"] {
        assert_eq!(number(row, fault), 0, "{row:#}");
    }
}

/// What a round of 18 and four more who are not there or vanish, at 60 a second, tells at the least.
fn all_is_told(row: &Value) {
    nothing_is_amiss(row);
    // 1 s before, 5 s of the fault, 1 s after it. Two of nine rooms have a member who is never there, two one who vanishes:
    // 93 and 80 messages, or fewer of the latter, as the fault falls.
    assert!(number(row, "accepted") >= 7 * 60, "{row:#}");
    assert!(number(row, "pushed") >= 110, "{row:#}");
    assert_eq!(number(row, "unpushed"), 0, "{row:#}");
    let first = ms(row, &row["first_delivery_ms"]);
    assert!(first > 0.0 && first < 60_000.0, "{row:#}");
    let caught_up = &row["caught_up_ms"];
    let [p50, p99, max] = ["p50", "p99", "max"].map(|name| ms(row, &caught_up[name]));
    assert!(p50 <= p99 && p99 <= max, "{row:#}");
}

/// I1, I2, I5, I8: a gateway is killed with -9 under load; the row has every field that is promised, the page its picture,
/// who is not there or vanishes is pushed, and the exit code says that nothing was lost, doubled or out of order.
#[tokio::test(flavor = "multi_thread")]
async fn i5_i8_the_breaker_kills_a_gateway_and_counts() {
    // Another run of these tests writes its own.
    let name = format!("faults-{}.html", std::process::id());
    let page = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let rows = told_alone(
        "break --only was-kill --brokers 1 --users 18 --absent 2 --leaving 2 --rate 60 --before 1 --after 1 --warm-up 0 \
         --json - --html",
        &[&page],
    )
    .await;
    let row = &rows[0];
    assert_eq!(row["name"], "was-kill", "{rows:#}");
    all_is_told(row);
    // A third of 18; one may have lost its connection since, as on a machine that stood still.
    let affected = number(row, "affected");
    assert!((4..=8).contains(&affected), "{row:#}");
    assert!(
        number(row, "resumed") >= affected,
        "these came back: {row:#}"
    );
    let file = page;
    let page = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(file).unwrap();
    assert_eq!(page.matches("<svg").count(), 1, "{page}");
    assert!(page.contains("class=\"rate\""), "{page}");
}

/// I5: all sessions of a gateway lose it at once, come back elsewhere and miss nothing.
#[tokio::test(flavor = "multi_thread")]
async fn i5_a_storm_is_counted() {
    let report = told_alone(
        // Most of it goes to the others, so that something is due to them in the moment that the ones are away.
        "storm --sessions 40 --others 8 --rate 60 --others-part 0.8 --before 2 --after 1 --json -",
        &[] as &[&str],
    )
    .await;
    nothing_is_amiss(&report);
    assert!(number(&report, "accepted") >= 3 * 60, "{report:#}");
    assert!(number(&report, "sessions") >= 36, "{report:#}");
    assert!(number(&report["away_ms"], "count") >= 36, "{report:#}");
    let queries = ms(&report, &report["queries"]);
    assert!(queries >= 1.0, "they had to catch up: {report:#}");
    let all = ms(&report, &report["all_connected_ms"]);
    assert!(all > 0.0 && all < 60_000.0, "{report:#}");
    for others in ["others_before_ms", "others_meanwhile_ms"] {
        assert!(ms(&report, &report[others]["p99"]) > 0.0, "{report:#}");
    }
}

/// I2, I5, I8: connections to Postgres are reset in the midst of appends; and a soak, which repeats such faults until its
/// time is over, tells the memory of every process.
#[tokio::test(flavor = "multi_thread")]
async fn i2_a_soak_resets_connections_and_tells_memory() {
    let report = told_alone(
        "soak --minutes 0.01 --round 4 --seed 5 --only postgres-reset --brokers 1 --users 18 --absent 2 --leaving 2 \
         --rate 60 --json -",
        &[] as &[&str],
    )
    .await;
    assert_eq!(report["seed"], 5, "{report:#}");
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{report:#}");
    all_is_told(&rows[0]);
    let remarks = rows[0]["remarks"].to_string();
    assert!(
        remarks.contains("connections to Postgres reset"),
        "{remarks}"
    );
    assert!(!remarks.contains("\"0 connections"), "{remarks}");
    let all = "was-1 was-3 classifier-3 push-1 kafka-1 postgres redis loadtest";
    for process in all.split(' ') {
        let memory = &report["memory"][process];
        for when in ["start_mib", "end_mib", "most_mib"] {
            assert!(ms(&report, &memory[when]) > 1.0, "{process}: {report:#}");
        }
        assert_eq!(memory["restarts"], 0, "{process}: {report:#}");
    }
}
