//! The load run as a program.

use std::process::Stdio;

use tokio::process::Command;

/// I2, I5 over three gateways and two classifiers, and every field that the run promises.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_tells_what_it_promises() {
    let system = crate::cluster::start(3, 2).await;
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(
            "run --users 12 --room-size 4 --rate 40 --seconds 3 --warm-up 1 --body 64 --json -"
                .split(' '),
        )
        .args(["--was", &system.cluster.urls().join(",")])
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
    let report: serde_json::Value = serde_json::from_str(&told).unwrap();
    let number = |name: &str| {
        report[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name} in {report:#}"))
    };
    assert_eq!(
        number("accepted"),
        120,
        "3 s at 40 a second, the warm-up not counted: {report:#}"
    );
    assert_eq!(number("delivered"), 4 * 120, "{report:#}");
    for fault in ["lost", "duplicated", "out_of_order"] {
        assert_eq!(number(fault), 0, "{report:#}");
    }
    for times in ["accepted_ms", "received_ms"] {
        for quantile in ["p50", "p90", "p99", "p999", "max"] {
            assert!(
                report[times][quantile].as_f64().is_some_and(|ms| ms > 0.0),
                "{times} {quantile}: {report:#}"
            );
        }
    }
    assert!(
        report["cpu_us_per_delivery"].is_null(),
        "the processes are not this run's own: {report:#}"
    );
}
