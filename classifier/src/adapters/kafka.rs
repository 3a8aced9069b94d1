//! Kafka: lanes in, homes, pushes and dead letters out.

use std::sync::Arc;
use std::time::Duration;

use protocol::{BROADCAST, Lane};
use service::kafka::{
    Admin, Consumer, Feed as ServiceFeed, FeedError, Outgoing as Record, ProduceError, Producer,
    Topics,
};
use service::trace::{self, TRACEPARENT};
use tokio_util::sync::CancellationToken;

use crate::ports::{
    Ack, Feed, Incoming, Lanes, LogError, Outgoing, Publish, PublishError, Sink, Source,
};

/// How long Kafka may take over a question.
const DEADLINE: Duration = Duration::from_secs(5);

/// The lanes of one installation.
#[derive(Clone)]
pub struct KafkaLanes {
    consumer: Consumer,
    admin: Admin,
    topics: Topics,
}

/// One lane's records.
pub struct KafkaFeed(ServiceFeed);

/// A producer that knows the topics.
#[derive(Clone)]
pub struct KafkaPublish {
    producer: Producer,
    topics: Topics,
    fatal: CancellationToken,
}

impl From<service::kafka::KafkaError> for LogError {
    fn from(error: service::kafka::KafkaError) -> Self {
        Self(error.to_string())
    }
}

impl KafkaLanes {
    /// Lanes read through one consumer.
    pub fn new(consumer: Consumer, admin: Admin, topics: Topics) -> Self {
        Self {
            consumer,
            admin,
            topics,
        }
    }

    fn topic(&self, source: Source) -> &Arc<str> {
        match source {
            Source::Commands => self.topics.send(),
            Source::Signals => self.topics.signal(),
        }
    }
}

impl Lanes for KafkaLanes {
    type Feed = KafkaFeed;

    async fn topic_id(&self) -> Result<String, LogError> {
        Ok(self.admin.topic_id(self.topics.send()).await?)
    }

    async fn bounds(&self, source: Source, lane: Lane) -> Result<(i64, i64), LogError> {
        let topic = self.topic(source);
        let marks = self.consumer.watermarks(topic, lane.0, DEADLINE).await?;
        Ok((marks.low, marks.high))
    }

    async fn ends(&self, lanes: &[Lane]) -> Result<Vec<(Lane, i64)>, LogError> {
        let lanes: Vec<i32> = lanes.iter().map(|lane| lane.0).collect();
        let topic = self.topics.send();
        let ends = self.consumer.ends(topic, &lanes, DEADLINE).await?;
        Ok(ends
            .into_iter()
            .map(|(lane, end)| (Lane(lane), end))
            .collect())
    }

    async fn add(&self, source: Source, lane: Lane, start: i64) -> Result<KafkaFeed, LogError> {
        let feed = self.consumer.add(self.topic(source), lane.0, start)?;
        Ok(KafkaFeed(feed))
    }

    async fn committed(&self, source: Source, lane: Lane) -> Result<Option<i64>, LogError> {
        let topic = self.topic(source);
        Ok(self.consumer.committed(topic, lane.0, DEADLINE).await?)
    }

    async fn commit(&self, source: Source, next: &[(Lane, i64)]) -> Result<(), LogError> {
        let next: Vec<(i32, i64)> = next
            .iter()
            .map(|(lane, offset)| (lane.0, *offset))
            .collect();
        Ok(self.consumer.commit(self.topic(source), &next).await?)
    }
}

impl Feed for KafkaFeed {
    async fn recv(&mut self) -> Result<Incoming, LogError> {
        loop {
            match self.0.recv().await {
                Ok(record) => return Ok(incoming(record)),
                Err(FeedError::Other(reason)) => passing(&reason),
                Err(error) => return Err(LogError(error.to_string())),
            }
        }
    }

    fn try_recv(&mut self) -> Result<Option<Incoming>, LogError> {
        match self.0.try_recv() {
            Ok(record) => Ok(record.map(incoming)),
            Err(FeedError::Other(reason)) => {
                passing(&reason);
                Ok(None)
            }
            Err(error) => Err(LogError(error.to_string())),
        }
    }
}

/// Told once by librdkafka for each trouble; reading goes on by itself.
fn passing(reason: &str) {
    tracing::warn!(reason, "a lane can't be read for now");
}

fn incoming(record: service::kafka::Incoming) -> Incoming {
    let trace = trace::Context::of(&record);
    Incoming {
        offset: record.offset,
        key: record.key,
        payload: record.payload,
        trace,
    }
}

impl KafkaPublish {
    /// Publishes through `producer`. A failure that it can't recover from cancels `fatal`: the
    /// process has to end.
    pub fn new(producer: Producer, topics: Topics, fatal: CancellationToken) -> Self {
        Self {
            producer,
            topics,
            fatal,
        }
    }

    fn record(&self, outgoing: &Outgoing) -> Record {
        let (topic, partition) = match outgoing.sink {
            Sink::Home(home) => (self.topics.receive(), Some(home.0)),
            Sink::Broadcast => (self.topics.receive(), Some(BROADCAST)),
            Sink::Push => (self.topics.push(), None),
            Sink::Dlq => (self.topics.dlq(), None),
        };
        let mut headers = outgoing.headers.clone();
        headers.extend(outgoing.trace.map(|span| (TRACEPARENT, span.write())));
        Record {
            topic: Arc::clone(topic),
            partition,
            key: outgoing.key.clone(),
            headers,
            payload: outgoing.payload.clone(),
        }
    }
}

impl Publish for KafkaPublish {
    fn publish(&self, outgoing: &Outgoing) -> Result<Ack, PublishError> {
        let delivery = self.producer.send(&self.record(outgoing));
        let delivery = delivery.map_err(|error| sorted(&error, &self.fatal))?;
        let fatal = self.fatal.clone();
        Ok(Box::pin(async move {
            let placed = delivery.await;
            placed.map(drop).map_err(|error| sorted(&error, &fatal))
        }))
    }
}

/// What a failed record means to who sent it.
fn sorted(error: &ProduceError, fatal: &CancellationToken) -> PublishError {
    match error {
        ProduceError::Full => PublishError::Full,
        ProduceError::TooLarge => PublishError::Refused(error.to_string()),
        ProduceError::Fatal(_) => {
            fatal.cancel();
            PublishError::Unknown(error.to_string())
        }
        ProduceError::TimedOut | ProduceError::Other(_) => PublishError::Unknown(error.to_string()),
    }
}
