use service::kafka::KafkaError;

use super::place::{Place, topic};

/// `setup` runs twice, and side by side.
#[tokio::test]
async fn topics_are_made_once_however_often_asked() {
    let place = Place::with_lanes(2).await;
    let topics = place.settings.topics();
    let wanted: Vec<_> = topics
        .all()
        .into_iter()
        .map(|name| topic(name, 2))
        .collect();
    let (one, other) = tokio::join!(
        place.admin.ensure_topics(&wanted),
        place.admin.ensure_topics(&wanted)
    );
    one.unwrap();
    other.unwrap();
    for name in topics.all() {
        assert_eq!(place.admin.partitions(name).await.unwrap(), 2, "{name}");
    }
}

/// `chat-send` is never grown without a barrier: another number is an error, not a change.
#[tokio::test]
async fn another_number_of_partitions_is_an_error() {
    let place = Place::with_lanes(2).await;
    let name = place.settings.topics().send().clone();
    let error = place
        .admin
        .ensure_topics(&[topic(&name, 3)])
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            KafkaError::Partitions {
                has: 2,
                wanted: 3,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(place.admin.partitions(&name).await.unwrap(), 2);
}

/// Trap 7: a topic that was made anew is told apart from the one that `applied` is about.
#[tokio::test]
async fn a_topic_made_anew_has_another_id() {
    let place = Place::with_lanes(1).await;
    let name = place.settings.topics().send().clone();
    let before = place.admin.topic_id(&name).await.unwrap();
    assert_eq!(before, place.admin.topic_id(&name).await.unwrap());
    assert!(before.len() >= 16, "{before}");
    place
        .admin
        .delete_topics(&[&name, "not-there"])
        .await
        .unwrap();
    let gone = place.admin.topic_id(&name).await;
    assert!(matches!(gone, Err(KafkaError::NoTopic(_))), "{gone:?}");
    place.admin.ensure_topics(&[topic(&name, 1)]).await.unwrap();
    assert_ne!(before, place.admin.topic_id(&name).await.unwrap());
}

/// Asking for a topic never makes it.
#[tokio::test]
async fn a_topic_that_is_not_there_is_told_and_not_made() {
    let place = Place::with_lanes(1).await;
    let name = place.settings.topics().push().clone();
    for _ in 0..2 {
        let gone = place.admin.partitions(&name).await;
        assert!(matches!(gone, Err(KafkaError::NoTopic(_))), "{gone:?}");
    }
}
