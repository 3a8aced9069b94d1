//! The load run as a program.

use crate::program::{told, told_alone};

/// I2, I5 over three gateways and two classifiers, and every field that the run promises.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_tells_what_it_promises() {
    let system = crate::cluster::start(3, 2).await;
    let report = told(
        "run --users 12 --room-size 4 --rate 40 --seconds 3 --warm-up 1 --body 64 --drain 120 --json -",
        &["--was", &system.cluster.urls().join(",")],
    )
    .await;
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

/// A run that brings up its own cluster tells what each of its processes cost.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_its_own_cluster_tells_what_it_cost() {
    let report = told_alone(
        "run --stack --users 6 --room-size 3 --rate 40 --seconds 3 --warm-up 1 --drain 120 --json -",
        &[] as &[&str],
    )
    .await;
    assert_eq!(report["delivered"], 3 * 120, "{report:#}");
    let number = |process: &str, what: &str| {
        report["processes"][process][what]
            .as_f64()
            .unwrap_or_else(|| panic!("{what} of {process} in {report:#}"))
    };
    let all = "was-1 was-2 was-3 classifier-1 classifier-2 kafka-1 postgres redis loadtest";
    for process in all.split(' ') {
        assert!(number(process, "memory_mib") > 1.0, "{report:#}");
        assert!(number(process, "cpu_seconds") >= 0.0, "{report:#}");
    }
    // The kernel counts in 10 ms: together they used more than that.
    for busy in ["was-", "classifier-", "kafka-"] {
        let members = all.split(' ').filter(|name| name.starts_with(busy));
        let used: f64 = members.map(|name| number(name, "cpu_seconds")).sum();
        assert!(used > 0.0, "{busy}*: {report:#}");
    }
    let each = report["cpu_us_per_delivery"].as_f64();
    assert!(each.is_some_and(|us| us > 0.0), "{report:#}");
}
