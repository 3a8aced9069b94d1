//! What a gateway tells of its Postgres.

use crate::house::House;

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
