//! Harm that no signal does: memory emptied, a key gone, records that nobody can read. What a load run breaks, and
//! how it sees what became of it.

use std::time::Duration;

use service::kafka::{Consumer, KafkaSettings, Outgoing, Producer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    cluster::Service,
    error::{Doing, Error, Result},
    inline::{line, refused},
    space::Space,
    stack::Stack,
};

/// How long a server may take to obey.
const PATIENCE: Duration = Duration::from_secs(30);

impl Stack {
    /// Redis forgets everything, of all spaces: `FLUSHALL`.
    ///
    /// # Errors
    /// When it does not answer, or not with `OK`.
    ///
    /// # Panics
    /// When another process started the servers.
    pub async fn flush_redis(&self) -> Result<()> {
        self.redis_servers().flush().await
    }
}

impl Space {
    /// Deletes one of the space's keys behind everybody's back; `key` without the prefix. True when it was there.
    ///
    /// # Errors
    /// When Redis does not answer, or not with a number.
    pub async fn delete_key(&self, key: &str) -> Result<bool> {
        let command = format!("DEL {}{key}", self.key_prefix());
        let mut last = "nobody was asked".to_owned();
        for port in &self.addresses().redis_ports {
            last = line(*port, &command).await?;
            match last.as_str() {
                ":0" => return Ok(false),
                ":1" => return Ok(true),
                // It is another's.
                answer if answer.starts_with("-MOVED") || answer.starts_with("-READONLY") => {}
                _ => break,
            }
        }
        Err(refused(&command, last))
    }

    /// Puts `each` records that can't be decoded into every one of the first `lanes` lanes; returns how many that are.
    ///
    /// # Errors
    /// When Kafka does not take them.
    pub async fn poison(&self, lanes: i32, each: usize) -> Result<i64> {
        let settings = KafkaSettings::plain(self.kafka_brokers(), self.topic_prefix());
        let what = || "produce poison".to_owned();
        let producer = Producer::start(&settings, "poisoner", PATIENCE).map_err(failed(what))?;
        let (mut deliveries, topics) = (Vec::new(), settings.topics());
        for lane in (0..lanes).flat_map(|lane| std::iter::repeat_n(lane, each)) {
            let mut record = Outgoing::to(topics.send());
            record.partition = Some(lane);
            record.key = Some(b"no room".to_vec().into());
            record.payload = Some(b"\x01 no command".to_vec().into());
            deliveries.push(producer.send(&record).map_err(failed(what))?);
        }
        let mut placed = 0;
        for delivery in deliveries {
            delivery.await.map_err(failed(what))?;
            placed += 1;
        }
        Ok(placed)
    }

    /// How many records `chat-dlq` has had so far.
    ///
    /// # Errors
    /// When Kafka does not tell.
    pub async fn buried(&self) -> Result<i64> {
        let settings = KafkaSettings::plain(self.kafka_brokers(), self.topic_prefix());
        let what = || "look into chat-dlq".to_owned();
        let consumer = Consumer::start(&settings, "coroner", "coroner").map_err(failed(what))?;
        let mut buried = 0;
        for partition in 0..3 {
            let marks = consumer
                .watermarks(settings.topics().dlq(), partition, PATIENCE)
                .await;
            buried += marks.map_err(failed(what))?.high;
        }
        Ok(buried)
    }
}

impl Service {
    /// What it tells of one of its counters, labels and all: the sum over the lines that begin with `name`. 0 when it
    /// has not counted anything there.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn counted(&self, name: &str) -> Result<f64> {
        let address = self.admin_url().replace("http://", "");
        let page = async {
            let mut stream = TcpStream::connect(&address).await?;
            stream
                .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                .await?;
            let mut page = String::new();
            stream.read_to_string(&mut page).await?;
            Ok(page)
        };
        let page = in_time(page)
            .await
            .doing(|| format!("ask {} for its metrics", self.name()))?;
        Ok(sum(&page, name))
    }
}

fn sum(page: &str, name: &str) -> f64 {
    page.lines()
        .filter(|line| line.starts_with(name))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

async fn in_time<T>(work: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

fn failed<E: std::error::Error + Send + Sync + 'static>(
    what: impl Fn() -> String,
) -> impl Fn(E) -> Error {
    move |error| Error::Io {
        what: what(),
        source: std::io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_over_their_labels() {
        let page = "# TYPE a counter\na{x=\"1\"} 2\na{x=\"2\"} 3\nab 7\n";
        assert_eq!(sum(page, "a{"), 5.0);
        assert_eq!(sum(page, "ab"), 7.0);
        assert_eq!(sum(page, "c"), 0.0);
    }
}
