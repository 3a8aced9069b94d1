//! A consumer whose partitions are added and removed one by one.
//!
//! It never subscribes and never assigns anew: partitions come and go by `incremental_assign`,
//! so that the others' prefetched records stay (a fresh `assign` fetched all of them again and
//! doubled some). Committing works without subscribing; commits are not fenced, so callers check
//! their own lease first.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError as Native;
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::Instant;

use super::context::Logging;
use super::feed::{Feed, FeedState};
use super::producer::MAX_MESSAGE_BYTES;
use super::start::start_offset;
use super::trouble::Unanswered;
use super::{KafkaError, KafkaSettings, Start, Watermarks};

/// One question to the brokers; several fit into a caller's deadline.
const ASK: Duration = Duration::from_secs(2);
/// The longest that a commit is waited for.
const COMMIT: Duration = Duration::from_secs(5);
/// What is read ahead of a partition, in KiB, as each has a queue of its own: enough for whoever is in
/// a hurry, and little where thousands may be read that few records come to.
const AHEAD: u64 = 4_096;
const AHEAD_WAITING: u64 = 256;
/// Between two questions.
const AGAIN: Duration = Duration::from_millis(100);

/// A consumer without group membership; cloning shares it.
#[derive(Clone)]
pub struct Consumer(Arc<Shared>);

/// The partitions that are read, each with what its feed shares.
type Added = HashMap<(Arc<str>, i32), Arc<FeedState>>;

pub(super) struct Shared {
    native: Arc<BaseConsumer<Logging>>,
    brokers: String,
    added: Mutex<Added>,
    /// Held by a commit until librdkafka is done with it, which may be after its caller gave up: an
    /// earlier one can't come after a later one, and only one thread is blocked.
    committing: Arc<tokio::sync::Mutex<()>>,
}

impl Consumer {
    /// Starts a consumer that commits for `group` (under the topics' prefix).
    pub fn start(settings: &KafkaSettings, group: &str, name: &str) -> Result<Self, KafkaError> {
        // With the default 500 ms a newly added lane waits for the fetch that is under way.
        let fetch_wait = Duration::from_millis(50);
        Self::reading_ahead(settings, group, name, fetch_wait, AHEAD)
    }

    /// As [`Consumer::start`], for partitions that have few records and nobody in a hurry: a fetch waits
    /// for `fetch_wait` when there is nothing, and so does a partition that is added meanwhile; and
    /// less is read ahead.
    pub fn start_waiting(
        settings: &KafkaSettings,
        group: &str,
        name: &str,
        fetch_wait: Duration,
    ) -> Result<Self, KafkaError> {
        Self::reading_ahead(settings, group, name, fetch_wait, AHEAD_WAITING)
    }

    fn reading_ahead(
        settings: &KafkaSettings,
        group: &str,
        name: &str,
        fetch_wait: Duration,
        ahead: u64,
    ) -> Result<Self, KafkaError> {
        let mut config = settings.client(name);
        config
            .set("group.id", format!("{}{group}", settings.topic_prefix))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // There is no session without a subscription; but a commit that finds no coordinator
            // is given up after this time, by default 45 s.
            .set("session.timeout.ms", "6000")
            // An offset that is not there is told, not silently replaced: `start_offset` decides.
            .set("auto.offset.reset", "error")
            .set("allow.auto.create.topics", "false")
            .set("fetch.min.bytes", "1")
            .set("fetch.wait.max.ms", fetch_wait.as_millis().to_string())
            .set("fetch.queue.backoff.ms", "50")
            // A new leader that is not ready yet is asked again soon, not after 500 ms.
            .set("fetch.error.backoff.ms", "50")
            .set("message.max.bytes", MAX_MESSAGE_BYTES.to_string())
            .set("max.partition.fetch.bytes", MAX_MESSAGE_BYTES.to_string())
            .set("queued.max.messages.kbytes", ahead.to_string())
            .set("queued.min.messages", "5000");
        let native: BaseConsumer<Logging> = config
            .create_with_context(Logging::new(&settings.brokers))
            .map_err(|error| KafkaError::Client(error.to_string()))?;
        let shared = Arc::new(Shared {
            native: Arc::new(native),
            brokers: settings.brokers.clone(),
            added: Mutex::default(),
            committing: Arc::default(),
        });
        serve_events(name, &shared)?;
        Ok(Self(shared))
    }

    /// Reads a partition from `start_offset` on, until the feed is dropped or removed.
    pub fn add(&self, topic: &str, partition: i32, start_offset: i64) -> Result<Feed, KafkaError> {
        let topic: Arc<str> = topic.into();
        let mut added = self.0.lock();
        let key = (Arc::clone(&topic), partition);
        if added.contains_key(&key) {
            return Err(KafkaError::AlreadyAdded {
                topic: topic.to_string(),
                partition,
            });
        }
        // The queue is split off before the partition is read: no record goes the common way.
        let queue = self
            .0
            .native
            .split_partition_queue(&topic, partition)
            .ok_or_else(|| KafkaError::NoTopic(topic.to_string()))?;
        let state = Arc::new(FeedState::new(queue, start_offset));
        let list = one(&topic, partition, start_offset)?;
        self.0
            .native
            .incremental_assign(&list)
            .map_err(|error| refused(&format!("read {topic}/{partition}"), &error))?;
        added.insert(key, Arc::clone(&state));
        drop(added);
        Ok(Feed::new(state, Arc::clone(&self.0), topic, partition))
    }

    /// Stops reading a partition; its feed ends with `Removed`. Nothing happens if it is not read.
    pub fn remove(&self, topic: &str, partition: i32) {
        let state = self.0.lock().get(&(topic.into(), partition)).cloned();
        if let Some(state) = state {
            self.0.remove_if(topic, partition, &state);
        }
    }

    /// Every partition of a topic that is read, with the offset behind the last record that its feed
    /// has given out.
    pub fn positions(&self, topic: &str) -> Vec<(i32, i64)> {
        let added = self.0.lock();
        let of_topic = added.iter().filter(|((of, _), _)| &**of == topic);
        of_topic
            .map(|((_, partition), state)| (*partition, state.next.load(Ordering::Relaxed)))
            .collect()
    }

    /// The offsets that the next records of partitions will get, of those whose leader says so within
    /// `deadline`: one request to each broker, whether or not they are read here. Asked once.
    ///
    /// # Errors
    /// [`KafkaError::Unreachable`]: nothing is known of any.
    pub async fn ends(
        &self,
        topic: &str,
        partitions: &[i32],
        deadline: Duration,
    ) -> Result<Vec<(i32, i64)>, KafkaError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let asked = format!("the ends of {topic}");
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            // By time, of which "the end" is one: the only question about many at once.
            list.add_partition_offset(topic, *partition, Offset::End)
                .map_err(|error| refused(&asked, &error))?;
        }
        let native = Arc::clone(&self.0.native);
        let answer = tokio::task::spawn_blocking(move || native.offsets_for_times(list, deadline));
        let last = match answer.await {
            Ok(Ok(ends)) => {
                let ends = ends
                    .elements()
                    .into_iter()
                    .filter(|one| one.error().is_ok());
                let ends = ends.filter_map(|one| match one.offset() {
                    Offset::Offset(end) => Some((one.partition(), end)),
                    _ => None,
                });
                let ends: Vec<_> = ends.collect();
                if ends.is_empty() {
                    self.0.native.context().regain().doubt();
                }
                return Ok(ends);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the call was dropped".to_owned(),
        };
        self.0.native.context().regain().doubt();
        Err(KafkaError::Unreachable {
            brokers: self.0.brokers.clone(),
            asked,
            waited: deadline,
            last,
        })
    }

    /// The committed offset of the group: the next one to read. `None`: never committed. Retries
    /// until `deadline` (a fresh cluster's first answers are `NotCoordinator`, which is not "none").
    pub async fn committed(
        &self,
        topic: &str,
        partition: i32,
        deadline: Duration,
    ) -> Result<Option<i64>, KafkaError> {
        let asked = format!("the committed offset of {topic}/{partition}");
        let topic = topic.to_owned();
        self.ask(asked, deadline, move |native, timeout| {
            let list = one(&topic, partition, 0).map_err(|error| error.to_string())?;
            let answer = native
                .committed_offsets(list, timeout)
                .map_err(|error| error.to_string())?;
            let found = answer
                .find_partition(&topic, partition)
                .ok_or_else(|| "the partition is not in the answer".to_owned())?;
            found.error().map_err(|error| error.to_string())?;
            Ok(match found.offset() {
                Offset::Offset(offset) if offset >= 0 => Some(offset),
                _ => None,
            })
        })
        .await
    }

    /// Commits where to read next, for several partitions of a topic at once. A failed commit is
    /// to be counted and repeated with the next, never fatal. One that is not answered in 5 s fails,
    /// though it may still arrive.
    pub async fn commit(&self, topic: &str, next: &[(i32, i64)]) -> Result<(), KafkaError> {
        if next.is_empty() {
            return Ok(());
        }
        let asked = format!("commit of {topic}");
        let mut list = TopicPartitionList::with_capacity(next.len());
        for (partition, offset) in next {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
                .map_err(|error| refused(&asked, &error))?;
        }
        let (native, turn) = (Arc::clone(&self.0.native), Arc::clone(&self.0.committing));
        let done = tokio::time::timeout(COMMIT, async {
            let turn = turn.lock_owned().await;
            let commit = move || {
                let done = native.commit(&list, CommitMode::Sync);
                drop(turn);
                done
            };
            tokio::task::spawn_blocking(commit).await
        });
        match done.await {
            Ok(Ok(Ok(()))) => {
                // What kept brokers from answering in the past, as one that restarts, is no reason of the next silence.
                self.0.native.context().troubles().over();
                Ok(())
            }
            Ok(Ok(Err(error))) => {
                self.0.native.context().regain().doubt();
                Err(refused(&asked, &error))
            }
            Ok(Err(_)) => Err(KafkaError::Refused {
                asked,
                message: "the call was dropped".to_owned(),
            }),
            Err(_) => Err(self.unanswered(asked, COMMIT, "no answer".to_owned())),
        }
    }

    /// What a partition holds. Retries until `deadline`.
    pub async fn watermarks(
        &self,
        topic: &str,
        partition: i32,
        deadline: Duration,
    ) -> Result<Watermarks, KafkaError> {
        let asked = format!("the watermarks of {topic}/{partition}");
        let topic = topic.to_owned();
        self.ask(asked, deadline, move |native, timeout| {
            native
                .fetch_watermarks(&topic, partition, timeout)
                .map(|(low, high)| Watermarks { low, high })
                .map_err(|error| error.to_string())
        })
        .await
    }

    /// Where a new reader of a partition begins (trap 7). Two questions, each retried for `within`.
    pub async fn start_of(
        &self,
        topic: &str,
        partition: i32,
        within: Duration,
    ) -> Result<Start, KafkaError> {
        let committed = self.committed(topic, partition, within).await?;
        // Asked later: what is committed can't be above the end then.
        let marks = self.watermarks(topic, partition, within).await?;
        Ok(start_offset(committed, marks))
    }

    /// Puts a blocking question again and again until it is answered or `deadline` has passed.
    async fn ask<T: Send + 'static>(
        &self,
        asked: String,
        deadline: Duration,
        question: impl Fn(&BaseConsumer<Logging>, Duration) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<T, KafkaError> {
        let question = Arc::new(question);
        let until = Instant::now() + deadline;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = left.clamp(AGAIN, ASK);
            let native = Arc::clone(&self.0.native);
            let put = Arc::clone(&question);
            let answer = tokio::task::spawn_blocking(move || put(&native, timeout))
                .await
                .unwrap_or_else(|_| Err("the call was dropped".to_owned()));
            match answer {
                Ok(answer) => {
                    self.0.native.context().troubles().over();
                    return Ok(answer);
                }
                Err(last) if Instant::now() + AGAIN >= until => {
                    return Err(self.unanswered(asked, deadline, last));
                }
                Err(error) => {
                    tracing::debug!(asked, error, "asking again");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    fn unanswered(&self, asked: String, waited: Duration, last: String) -> KafkaError {
        self.0.native.context().regain().doubt();
        let brokers = self.0.brokers.clone();
        self.0.native.context().troubles().explain(Unanswered {
            brokers,
            asked,
            waited,
            last,
        })
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Added> {
        self.added.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops reading a partition if it is still this feed's: another may have been added since.
    pub(super) fn remove_if(&self, topic: &str, partition: i32, state: &Arc<FeedState>) {
        let mut added = self.lock();
        let key = (Arc::from(topic), partition);
        if !added
            .get(&key)
            .is_some_and(|present| Arc::ptr_eq(present, state))
        {
            return;
        }
        added.remove(&key);
        let removed = one(topic, partition, 0).and_then(|list| {
            self.native
                .incremental_unassign(&list)
                .map_err(|error| refused(&format!("stop reading {topic}/{partition}"), &error))
        });
        if let Err(error) = removed {
            tracing::warn!(%error, "a partition was not removed");
        }
        // Before another one is added.
        state.end();
        drop(added);
    }
}

fn one(topic: &str, partition: i32, offset: i64) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(topic, partition, Offset::Offset(offset))
        .map_err(|error| refused(&format!("{topic}/{partition} at {offset}"), &error))?;
    Ok(list)
}

fn refused(asked: &str, error: &Native) -> KafkaError {
    KafkaError::Refused {
        asked: asked.to_owned(),
        message: error.to_string(),
    }
}

/// librdkafka wants its common queue to be polled, though no record comes that way. A thread: the
/// poll blocks. It ends with the last clone of the consumer, and closes it, which blocks as well.
fn serve_events(name: &str, shared: &Arc<Shared>) -> Result<(), KafkaError> {
    let consumer: Weak<Shared> = Arc::downgrade(shared);
    std::thread::Builder::new()
        .name(format!("kafka-{name}"))
        .spawn(move || {
            let mut native = None;
            while let Some(shared) = consumer.upgrade() {
                let polled = native.insert(Arc::clone(&shared.native));
                // Not held while polling: the last user's drop must be seen.
                drop(shared);
                polled.context().regain().look(polled.client());
                match polled.poll(Duration::from_millis(100)) {
                    None => {}
                    Some(Ok(message)) => {
                        let record = super::Incoming::copied(&message);
                        tracing::error!(
                            partition = record.partition,
                            offset = record.offset,
                            "a record came through the common queue and is lost to its reader"
                        );
                    }
                    Some(Err(error)) => tracing::debug!(%error, "consumer"),
                }
            }
        })
        .map(|_| ())
        .map_err(|error| KafkaError::Client(error.to_string()))
}
