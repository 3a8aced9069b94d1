//! Spaces: each test has its own, and it is gone afterwards.

use std::time::Duration;

use service::kafka::{Admin, KafkaError, KafkaSettings, TopicSpec};
use stack::Stack;
use store::{Store, StoreSettings};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_space_has_names_of_its_own_and_takes_its_topics_along() {
    let stack = Stack::shared().await.unwrap();
    let (one, other) = (stack.space().await.unwrap(), stack.space().await.unwrap());
    assert_ne!(one.topic_prefix(), other.topic_prefix());
    assert_ne!(one.postgres_url(), other.postgres_url());
    assert_ne!(one.key_prefix(), other.key_prefix());

    let settings = KafkaSettings::plain(one.kafka_brokers(), one.topic_prefix());
    let admin = Admin::connect(&settings, PATIENCE).unwrap();
    let topic = settings.topics().send().to_string();
    admin
        .ensure_topics(&[TopicSpec {
            name: topic.clone(),
            partitions: 2,
            replication: 1,
            configs: Vec::new(),
        }])
        .await
        .unwrap();
    assert_eq!(admin.partitions(&topic).await.unwrap(), 2);

    let database = one.postgres_url().to_owned();
    assert!(connects(&database).await);
    drop(one);
    let left = admin.partitions(&topic).await;
    assert!(matches!(left, Err(KafkaError::NoTopic(_))), "{left:?}");
    assert!(!connects(&database).await, "the database is still there");
    assert!(
        connects(other.postgres_url()).await,
        "a neighbour's is gone"
    );
}

/// Whether there is such a database.
async fn connects(url: &str) -> bool {
    let patient = format!("{url}?connect_timeout={}", PATIENCE.as_secs());
    let settings = StoreSettings {
        statement_timeout: PATIENCE,
        ..StoreSettings::new(patient)
    };
    match Store::connect(&settings).await {
        Ok(_) => true,
        Err(error) => {
            let said = error.to_string();
            assert!(said.contains("does not exist"), "{said}");
            false
        }
    }
}
