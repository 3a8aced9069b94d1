//! Topics: made by `setup`, never automatically.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode as Code;
use tokio::time::Instant;

use super::context::Logging;
use super::native::{self, DescribeError, Described};
use super::trouble::Unanswered;
use super::{KafkaError, KafkaSettings};

/// One question to the brokers.
const ASK: Duration = Duration::from_secs(3);
/// Between two questions.
const AGAIN: Duration = Duration::from_millis(100);

/// A topic as it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name, with prefix.
    pub name: String,
    /// How many partitions.
    pub partitions: usize,
    /// Copies of each.
    pub replication: u16,
    /// Its configuration, as `retention.ms`.
    pub configs: Vec<(&'static str, String)>,
}

/// Asks and changes what the brokers know of topics; cloning shares it.
#[derive(Clone)]
pub struct Admin {
    client: Arc<AdminClient<Logging>>,
    brokers: String,
    deadline: Duration,
}

impl Admin {
    /// A client that gives up on an answer after `deadline`. Nothing is asked yet.
    pub fn connect(settings: &KafkaSettings, deadline: Duration) -> Result<Self, KafkaError> {
        let client = settings
            .client("admin")
            .create_with_context(Logging::new(&settings.brokers))
            .map_err(|error| KafkaError::Client(error.to_string()))?;
        Ok(Self {
            client: Arc::new(client),
            brokers: settings.brokers.clone(),
            deadline,
        })
    }

    /// Makes the topics that are missing; one that is there with another number of partitions is
    /// an error. Safe to repeat, and side by side. Returns when a broker knows each of them with
    /// all its leaders.
    pub async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), KafkaError> {
        for topic in topics {
            let created = self.create(topic).await?;
            let has = self.described(&topic.name, Expected::Yes).await?.partitions;
            if has != topic.partitions {
                return Err(KafkaError::Partitions {
                    topic: topic.name.clone(),
                    has,
                    wanted: topic.partitions,
                });
            }
            tracing::info!(topic = topic.name, partitions = has, created, "topic");
        }
        Ok(())
    }

    /// True if it was made now.
    async fn create(&self, topic: &TopicSpec) -> Result<bool, KafkaError> {
        let asked = format!("creation of topic {}", topic.name);
        let mut spec = NewTopic::new(
            &topic.name,
            i32::try_from(topic.partitions).unwrap_or(i32::MAX),
            TopicReplication::Fixed(i32::from(topic.replication)),
        );
        for (name, value) in &topic.configs {
            spec = spec.set(name, value);
        }
        let until = Instant::now() + self.deadline;
        loop {
            let results = self.client.create_topics([&spec], &options()).await;
            let last = match results {
                Ok(results) => match results.into_iter().next() {
                    None | Some(Ok(_)) => return Ok(true),
                    Some(Err((_, Code::TopicAlreadyExists))) => return Ok(false),
                    Some(Err((_, code))) if is_passing(code) => code.to_string(),
                    Some(Err((_, code))) => {
                        return Err(KafkaError::Refused {
                            asked,
                            message: code.to_string(),
                        });
                    }
                },
                Err(error) => error.to_string(),
            };
            self.again(until, &asked, last).await?;
        }
    }

    /// Deletes topics; those that do not exist are no error. Returns when a broker has forgotten
    /// them: the controller answers before the brokers have.
    pub async fn delete_topics(&self, names: &[&str]) -> Result<(), KafkaError> {
        let asked = format!("deletion of topics {}", names.join(", "));
        let until = Instant::now() + self.deadline;
        loop {
            let last = match self.client.delete_topics(names, &options()).await {
                Ok(results) => {
                    let failed = results.into_iter().find_map(|result| match result {
                        Ok(_) | Err((_, Code::UnknownTopicOrPartition)) => None,
                        Err((name, code)) => Some(format!("{name}: {code}")),
                    });
                    match failed {
                        None => break,
                        Some(failed) => failed,
                    }
                }
                Err(error) => error.to_string(),
            };
            self.again(until, &asked, last).await?;
        }
        for name in names {
            loop {
                let last = match self.described(name, Expected::No).await {
                    Err(KafkaError::NoTopic(_)) => break,
                    Ok(_) => format!("{name} is still known"),
                    Err(error) => return Err(error),
                };
                self.again(until, &asked, last).await?;
            }
        }
        Ok(())
    }

    /// The topic's id: another one after the topic was deleted and made again.
    pub async fn topic_id(&self, name: &str) -> Result<String, KafkaError> {
        Ok(self.described(name, Expected::No).await?.id)
    }

    /// How many partitions the topic has.
    pub async fn partitions(&self, name: &str) -> Result<usize, KafkaError> {
        Ok(self.described(name, Expected::No).await?.partitions)
    }

    async fn described(&self, name: &str, expected: Expected) -> Result<Described, KafkaError> {
        let asked = format!("a description of topic {name}");
        let until = Instant::now() + self.deadline;
        loop {
            let client = Arc::clone(&self.client);
            let topic = name.to_owned();
            let answer = tokio::task::spawn_blocking(move || {
                let client = client.inner();
                client.context().regain().look(client);
                native::describe(client, &topic, ASK)
            });
            let answer = answer
                .await
                .unwrap_or_else(|_| Err(DescribeError::Other("the call was dropped".to_owned())));
            let client = self.client.inner();
            native::hear(client);
            if matches!(answer, Ok(_) | Err(DescribeError::NoSuchTopic)) {
                client.context().troubles().over();
            }
            let last = match answer {
                Ok(described) if expected == Expected::Yes && described.leaderless > 0 => {
                    format!("{} partitions have no leader yet", described.leaderless)
                }
                Ok(described) => return Ok(described),
                Err(DescribeError::NoSuchTopic) if expected == Expected::No => {
                    return Err(KafkaError::NoTopic(name.to_owned()));
                }
                Err(DescribeError::NoSuchTopic) => "it is not known yet".to_owned(),
                Err(DescribeError::Other(message)) => message,
            };
            self.again(until, &asked, last).await?;
        }
    }

    async fn again(&self, until: Instant, asked: &str, last: String) -> Result<(), KafkaError> {
        let client = self.client.inner();
        native::hear(client);
        client.context().regain().doubt();
        if Instant::now() + AGAIN >= until {
            return Err(client.context().troubles().explain(Unanswered {
                brokers: self.brokers.clone(),
                asked: asked.to_owned(),
                waited: self.deadline,
                last,
            }));
        }
        tracing::debug!(asked, last, "asking again");
        tokio::time::sleep(AGAIN).await;
        Ok(())
    }
}

/// Whether a topic is known to be there. The controller has it before the brokers have, also for
/// who is told that another one has made it: "no such topic" then means "ask again".
#[derive(Clone, Copy, PartialEq)]
enum Expected {
    Yes,
    No,
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(ASK))
        .operation_timeout(Some(ASK))
}

/// What a cluster that is starting, or losing a broker, answers for a while.
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerNotAvailable
            | Code::LeaderNotAvailable
            | Code::NotController
            | Code::RequestTimedOut
            | Code::OperationTimedOut
            | Code::InvalidReplicationFactor
            | Code::CoordinatorLoadInProgress
            | Code::NetworkException
    )
}
