//! What an operator asks and does from the command line: who owns what, and what lies in
//! `chat-dlq`. Beside `serve`, not in it: each of these connects, answers and ends, and takes
//! nothing from the processes that work.

mod dlq;
mod homes;
mod lanes;
mod replay;
mod table;

pub use dlq::{Letter, letters};
pub use homes::{HomeLine, homes};
pub use lanes::{LaneLine, lanes};
pub use replay::{Refused, Replayed, replay};
pub use table::table;

use std::time::Duration;

use routing::RoutingError;
use serde_json::Value;
use service::kafka::{FeedError, KafkaError, ProduceError};
use store::StoreError;

use crate::partitions::PartitionsError;
use crate::settings::Settings;

/// How long a server may take over one question.
const DEADLINE: Duration = Duration::from_secs(10);
/// Questions about partitions that are under way at once.
const AT_ONCE: usize = 8;
/// The most letters that are listed: all of them are in memory at once, without their values.
pub const MAX_LETTERS: usize = 10_000;

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Who owns which lane.
    Lanes(Form),
    /// Who owns which home.
    Homes(Form),
    /// The newest letters in `chat-dlq`.
    Letters {
        /// So many at most.
        limit: usize,
        /// How.
        form: Form,
    },
    /// Send a letter back where it came from.
    Replay {
        /// Its partition of `chat-dlq`.
        partition: i32,
        /// Its offset there.
        offset: i64,
    },
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An aligned table, for people.
    Table,
    /// A JSON list of objects, for programs.
    Json,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// Kafka.
    #[error("Kafka can't be asked")]
    Kafka(#[from] KafkaError),
    /// Postgres.
    #[error("Postgres can't be asked")]
    Store(#[from] StoreError),
    /// The settings count partitions that a topic does not have.
    #[error(transparent)]
    Partitions(#[from] PartitionsError),
    /// Redis.
    #[error("Redis can't be asked")]
    Routing(#[from] RoutingError),
    /// A partition could not be read.
    #[error("chat-dlq can't be read")]
    Read(#[from] FeedError),
    /// A record that is there did not come.
    #[error("chat-dlq/{partition} gave nothing at offset {offset} within {DEADLINE:?}")]
    Silent {
        /// Which partition.
        partition: i32,
        /// Where it was read.
        offset: i64,
    },
    /// The letter can't be sent back.
    #[error("not sent back")]
    Refused(#[from] Refused),
    /// It is not known to be back where it came from.
    #[error("not known to be sent back")]
    Produce(#[from] ProduceError),
}

/// Does what is wanted, and returns what is to be printed.
pub async fn run(order: Order, settings: &Settings) -> Result<String, OperatorError> {
    Ok(match order {
        Order::Lanes(form) => form.write(&lanes(settings).await?),
        Order::Homes(form) => form.write(&homes(settings).await?),
        Order::Letters { limit, form } => form.write(&letters(settings, limit).await?),
        Order::Replay { partition, offset } => {
            format!("{}\n", replay(settings, partition, offset).await?)
        }
    })
}

/// A line of an answer, in both of its forms.
trait Line {
    /// The columns' names.
    const COLUMNS: &'static [&'static str];
    /// Its cells.
    fn cells(&self) -> Vec<String>;
    /// The same and more, unrounded.
    fn json(&self) -> Value;
}

impl Form {
    fn write<L: Line>(self, lines: &[L]) -> String {
        match self {
            Self::Table => table(L::COLUMNS, lines.iter().map(Line::cells).collect()),
            Self::Json => format!("{}\n", Value::from_iter(lines.iter().map(Line::json))),
        }
    }
}

/// What is left of a lease, for people.
fn left(owner: Option<&str>, left: Duration) -> String {
    match owner {
        None => table::NONE.to_owned(),
        Some(_) if left.is_zero() => "ended".to_owned(),
        Some(_) => format!("{:.1} s", left.as_secs_f64()),
    }
}

/// A moment for people, from a claim's number: each is at least the clock's milliseconds when the
/// claim was made, and above every number before it.
fn since(owner: Option<&str>, claim: i64) -> String {
    match owner {
        None => table::NONE.to_owned(),
        Some(_) => protocol::format_ms(claim),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
