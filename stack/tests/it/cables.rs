//! A process behind a cable has no way around it.

use std::time::Duration;

use service::kafka::{Admin, KafkaSettings, Outgoing, Producer, TopicSpec};
use stack::Stack;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Long enough for what is not held, and short for a test.
const A_WHILE: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(60);

/// Kafka names the proxy as its address, so a client that begins there stays there; and what was held arrives.
pub(crate) async fn a_cut_cable_holds_what_is_said_to_kafka_and_redis(stack: &Stack) {
    let space = stack.space().await.unwrap();
    let cable = &stack.cables()[0];
    let settings = KafkaSettings::plain(cable.kafka_brokers(), space.topic_prefix());
    let topics = settings.topics();
    let topic = TopicSpec {
        name: topics.dlq().to_string(),
        partitions: 1,
        replication: 1,
        configs: Vec::new(),
    };
    let admin = Admin::connect(&settings, PATIENCE).unwrap();
    admin.ensure_topics(&[topic]).await.unwrap();
    let producer = Producer::start(&settings, "cabled", PATIENCE).unwrap();
    let mut record = Outgoing::to(topics.dlq());
    record.partition = Some(0);
    producer.send(&record).unwrap().await.unwrap();

    let redis = ("127.0.0.1", cable.redis().port());
    let mut redis = TcpStream::connect(redis).await.unwrap();
    cable.cut();
    let mut delivery = producer.send(&record).unwrap();
    redis.write_all(b"PING\r\n").await.unwrap();
    assert!(timeout(A_WHILE, &mut delivery).await.is_err());
    assert!(timeout(A_WHILE, redis.read_u8()).await.is_err());

    cable.heal();
    timeout(PATIENCE, delivery).await.unwrap().unwrap();
    assert_eq!(
        timeout(PATIENCE, redis.read_u8()).await.unwrap().unwrap(),
        b'+'
    );
}
