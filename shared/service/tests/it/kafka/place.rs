//! Topics and clients of one test.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use service::kafka::{
    Admin, Consumer, Feed, Incoming, KafkaSettings, Outgoing, Placed, Producer, TopicSpec,
};
use stack::{Space, Stack};
use tokio::net::TcpSocket;

/// Longer than anything here takes on a slow machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Place {
    pub(super) settings: KafkaSettings,
    pub(super) admin: Admin,
    pub(super) space: Space,
}

impl Place {
    /// Under a prefix of its own, with `chat-send` of so many partitions.
    pub(super) async fn with_lanes(lanes: usize) -> Self {
        Self::reached(lanes, plain).await
    }

    /// The same, and Kafka is reached in this way.
    pub(super) async fn reached(lanes: usize, way: impl Fn(&Space) -> KafkaSettings) -> Self {
        Self::on(Stack::shared().await.unwrap(), lanes, way).await
    }

    /// The same, on these servers.
    pub(super) async fn on(
        stack: &Stack,
        lanes: usize,
        way: impl Fn(&Space) -> KafkaSettings,
    ) -> Self {
        let space = stack.space().await.unwrap();
        let settings = way(&space);
        let admin = Admin::connect(&settings, PATIENCE).unwrap();
        admin
            .ensure_topics(&[topic(settings.topics().send(), lanes)])
            .await
            .unwrap();
        Self {
            settings,
            admin,
            space,
        }
    }

    pub(super) fn producer(&self) -> Producer {
        Producer::start(&self.settings, "test", PATIENCE).unwrap()
    }

    pub(super) fn consumer(&self) -> Consumer {
        Consumer::start(&self.settings, "test", "test").unwrap()
    }

    pub(super) fn record(&self, partition: Option<i32>, key: &str, payload: &str) -> Outgoing {
        Outgoing {
            partition,
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            payload: Some(Bytes::copy_from_slice(payload.as_bytes())),
            ..Outgoing::to(self.settings.topics().send())
        }
    }

    /// Produces and waits for the answer.
    pub(super) async fn put(&self, producer: &Producer, partition: i32, payload: &str) -> Placed {
        let record = self.record(Some(partition), "1", payload);
        producer.send(&record).unwrap().await.unwrap()
    }
}

pub(super) fn plain(space: &Space) -> KafkaSettings {
    KafkaSettings::plain(space.kafka_brokers(), space.topic_prefix())
}

pub(super) fn topic(name: &str, partitions: usize) -> TopicSpec {
    TopicSpec {
        name: name.to_owned(),
        partitions,
        replication: 1,
        configs: vec![("retention.ms", "60000".to_owned())],
    }
}

/// Taken, so that nobody else gets the port, and not listened to.
static DEAF: LazyLock<TcpSocket> = LazyLock::new(|| {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    socket
});

/// Where nothing answers.
pub(super) fn nowhere() -> KafkaSettings {
    KafkaSettings::plain(DEAF.local_addr().unwrap().to_string(), "")
}

/// Commits as those do who read: what fails is repeated.
pub(super) async fn commit(consumer: &Consumer, topic: &str, next: &[(i32, i64)]) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = consumer.commit(topic, next).await {
        assert!(Instant::now() < deadline, "{error}");
    }
}

/// The next record, or a failure that says how long it was waited for.
pub(super) async fn next(feed: &mut Feed) -> Incoming {
    let began = Instant::now();
    match tokio::time::timeout(PATIENCE, feed.recv()).await {
        Ok(record) => record.unwrap(),
        Err(_) => panic!(
            "no record in partition {} after {:?}",
            feed.partition(),
            began.elapsed()
        ),
    }
}

pub(super) fn text(record: &Incoming) -> String {
    String::from_utf8(record.payload.as_ref().unwrap().to_vec()).unwrap()
}
