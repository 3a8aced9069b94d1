//! The schema is made once, whoever asks how often.

use store::{Store, StoreError, StoreSettings};

use crate::place::{Place, bare, settings};

#[tokio::test]
async fn setup_is_safe_twice() {
    let place = Place::new().await;
    place.store.setup().await.unwrap();
    place.store.ensure_lanes(4).await.unwrap();
    assert_eq!(place.number("select count(*) from lane").await, 4);
    place.store.ensure_lanes(2).await.unwrap();
    assert_eq!(place.number("select count(*) from lane").await, 4);
}

#[tokio::test]
async fn setup_is_safe_side_by_side() {
    let space = bare().await;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let settings = settings(&space);
        running.spawn(async move {
            let store = Store::connect(&settings).await?;
            store.setup().await?;
            store.ensure_lanes(4).await
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_database_is_made_once_and_dropped_once() {
    let space = bare().await;
    let name = format!("{}_b", space.name());
    let settings = settings(&space);
    let made = store::admin::create_database(&settings, &name);
    let again = store::admin::create_database(&settings, &name);
    let (made, again) = tokio::join!(made, again);
    assert_eq!(made.unwrap(), again.unwrap());
    for _ in 0..2 {
        let dropped = store::admin::drop_database(&settings, &name).await;
        dropped.unwrap();
    }
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let settings = StoreSettings::new("postgres://nobody@127.0.0.1:1/none");
    let error = Store::connect(&settings).await.err().unwrap();
    assert!(error.is_transient(), "{error}");
    let settings = StoreSettings::new("postgres://h:no-port/none");
    let error = Store::connect(&settings).await.err().unwrap();
    assert!(matches!(error, StoreError::Settings { .. }), "{error}");
}
