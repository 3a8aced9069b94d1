//! What a gateway tells of itself and of its servers.

use service::metrics::Metrics;
use was::metrics::Observed;

use crate::house::{Gateway, House, until};

/// Waits until a line of the metrics says so.
async fn says(gateway: &Gateway, line: &str) {
    until(line, || async {
        let text = gateway.metrics().await;
        match text.lines().any(|one| one == line) {
            true => Ok(()),
            false => Err(text),
        }
    })
    .await;
}

#[tokio::test]
async fn statements_and_the_pool_are_measured() {
    let house = House::new().await;
    let gateway = house.gateway("was-0", &[]).await;
    let counted = |statement| {
        format!("postgres_statements_total{{outcome=\"ok\",statement=\"{statement}\"}}")
    };
    let made = counted("create_or_get_user");
    assert_eq!(gateway.metric(&made).await, 0);
    gateway.token("ann").await;
    assert_eq!(gateway.metric(&made).await, 1);
    let timed = "postgres_statement_seconds_count{statement=\"create_or_get_user\"}";
    assert_eq!(gateway.metric(timed).await, 1);
    assert!(gateway.metric("postgres_pool{state=\"max\"}").await > 0);
    assert!(gateway.metric("postgres_pool{state=\"open\"}").await > 0);
}

/// Which home it has, how far behind that is, how soon its lease is renewed; what is asked of Redis; and
/// nothing that is not in the documents.
#[tokio::test(flavor = "multi_thread")]
async fn the_home_and_redis_are_measured_and_all_is_documented() {
    let house = House::new().await;
    let desk = house.desk().await;
    // So that it is renewed soon, and yet not lost.
    let lease = [("SWITCHBOARD_WAS_HOME_LEASE", "6s")];
    let gateway = house.gateway("was-0", &lease).await;
    let wrote = "redis_requests_total{outcome=\"ok\",request=\"write_route\"}";
    assert_eq!(gateway.metric(wrote).await, 0);
    let _there = gateway.session("ann", "phone", &[]).await;
    let (ann, _) = gateway.token("ann").await;
    let home = desk.routes_of(ann, 1).await[0].home;
    assert_eq!(gateway.metric(wrote).await, 1);
    let timed = "redis_request_seconds_count{request=\"write_route\"}";
    assert_eq!(gateway.metric(timed).await, 1);

    assert_eq!(gateway.metric("was_home ").await, i64::from(home.0));
    assert_eq!(gateway.metric("switchboard_homes").await, 4);
    for condition in ["running", "home", "broadcast"] {
        let met = format!("ready{{condition=\"{condition}\"}}");
        assert_eq!(gateway.metric(&met).await, 1);
    }
    // The others are without an owner, and read here.
    let own = home.0;
    says(&gateway, &format!("was_home_behind{{home=\"{own}\"}} 0")).await;
    for other in (1..=4).filter(|other| *other != own) {
        says(
            &gateway,
            &format!("was_steward_behind{{home=\"{other}\"}} 0"),
        )
        .await;
    }

    let renewed = "was_home_renew_seconds_count";
    until("two renewals", || async {
        match gateway.metric(renewed).await {
            2.. => Ok(()),
            count => Err(count.to_string()),
        }
    })
    .await;
    // A quarter of the lease is slept between two.
    let soon = "was_home_renew_seconds_bucket{le=\"0.2\"}";
    assert_eq!(gateway.metric(soon).await, 0);

    let page = gateway.metrics().await;
    let shown = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut names: Vec<String> = shown
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    for name in [
        "was_home_behind",
        "was_steward_behind",
        "build_info",
        "process_max_fds",
    ] {
        assert!(names.iter().any(|shown| shown == name), "{name} in {page}");
    }
    // Some have nothing to show yet.
    let all = Metrics::new();
    Observed::new(&all);
    names.extend(all.names());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
    let text = std::fs::read_to_string(path).unwrap();
    for name in names {
        let documented = [format!("`{name}`"), format!("`{name}{{")];
        assert!(
            documented.iter().any(|one| text.contains(one)),
            "{name} is not in {path}"
        );
    }
}
