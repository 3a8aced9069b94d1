//! The breaker as a program, on a small scale: one broker, one fault.

use std::{path::Path, process::Stdio};

use tokio::process::Command;

/// I1, I2, I5: a gateway is killed with -9 under load; the row has every field that is promised, the page its picture,
/// and the exit code says that nothing was lost, doubled or out of order.
#[tokio::test(flavor = "multi_thread")]
async fn i5_the_breaker_kills_a_gateway_and_counts() {
    let page = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults.html");
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args("break --only was-kill --brokers 1 --users 18 --rate 60".split(' '))
        .args("--before 1 --after 1 --warm-up 0 --json -".split(' '))
        .arg("--html")
        .arg(&page)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let (told, complaint) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{told}\n{complaint}");
    let rows: serde_json::Value = serde_json::from_str(&told).unwrap();
    let row = &rows[0];
    assert_eq!(row["name"], "was-kill", "{rows:#}");
    let number = |name: &str| {
        row[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name}: {row:#}"))
    };
    // 1 s before, 5 s of the fault, 1 s after it, at 60 a second.
    assert!(number("accepted") >= 7 * 60, "{row:#}");
    assert_eq!(number("delivered"), 2 * number("accepted"), "{row:#}");
    for fault in ["lost", "duplicated", "out_of_order"] {
        assert_eq!(number(fault), 0, "{row:#}");
    }
    assert_eq!(number("affected"), 6, "a third of 18: {row:#}");
    assert!(number("resumed") >= 6, "all of these came back: {row:#}");
    let ms = |value: &serde_json::Value| value.as_f64().unwrap_or_else(|| panic!("{row:#}"));
    let first = ms(&row["first_delivery_ms"]);
    assert!(first > 0.0 && first < 10_000.0, "{row:#}");
    let caught_up = &row["caught_up_ms"];
    assert!(ms(&caught_up["p50"]) <= ms(&caught_up["p99"]), "{row:#}");
    assert!(ms(&caught_up["p99"]) <= ms(&caught_up["max"]), "{row:#}");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(
        page.contains("<svg") && page.contains("class=\"rate\""),
        "{page}"
    );
}
