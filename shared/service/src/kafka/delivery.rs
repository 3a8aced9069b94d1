//! What becomes of a record, and how who sent it hears of it.

use std::pin::Pin;
use std::task::{Context, Poll};

use rdkafka::error::{KafkaError as Native, RDKafkaErrorCode as Code};
use tokio::sync::oneshot;

use super::Outgoing;
use super::producer::MAX_RECORD_BYTES;

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// The partition.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
}

/// Why a record is not known to be in Kafka. Except for `Full` and `TooLarge` that means
/// *unknown*: it may be there all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProduceError {
    /// The queue is full: nothing was sent. Wait, or refuse.
    #[error("the producer's queue is full")]
    Full,
    /// It will never fit: nothing was sent.
    #[error("the record is larger than {MAX_RECORD_BYTES} bytes")]
    TooLarge,
    /// Kafka did not acknowledge it in time.
    #[error("not acknowledged in time")]
    TimedOut,
    /// This producer can't go on; the process must end (its order is broken).
    #[error("the producer failed for good: {0}")]
    Fatal(String),
    /// Anything else.
    #[error("not produced: {0}")]
    Other(String),
}

impl ProduceError {
    /// Every value of [`ProduceError::label`].
    pub const LABELS: &[&str] = &["full", "too_large", "timed_out", "fatal", "other"];

    /// Its label in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::TooLarge => "too_large",
            Self::TimedOut => "timed_out",
            Self::Fatal(_) => "fatal",
            Self::Other(_) => "other",
        }
    }

    pub(super) fn from_native(error: &Native) -> Self {
        match error.rdkafka_error_code() {
            Some(Code::QueueFull) => Self::Full,
            Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize) => Self::TooLarge,
            Some(Code::MessageTimedOut | Code::OperationTimedOut | Code::RequestTimedOut) => {
                Self::TimedOut
            }
            Some(Code::Fatal) => Self::Fatal(error.to_string()),
            _ => Self::Other(error.to_string()),
        }
    }
}

pub(super) type Fate = Result<Placed, ProduceError>;

/// What becomes of a record: a future, ready once Kafka has answered or given up. Dropping it
/// does not take the record back.
#[derive(Debug)]
pub struct Delivery(oneshot::Receiver<Fate>);

impl Delivery {
    /// A delivery and who completes it: for publishers that are not Kafka.
    pub fn pair() -> (oneshot::Sender<Result<Placed, ProduceError>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }

    /// One that is known already.
    pub fn known(fate: Result<Placed, ProduceError>) -> Self {
        let (sender, delivery) = Self::pair();
        // `delivery` is here to receive it.
        let _ = sender.send(fate);
        delivery
    }
}

impl Future for Delivery {
    type Output = Result<Placed, ProduceError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|fate| {
            fate.unwrap_or_else(|_| Err(ProduceError::Other("the producer is gone".to_owned())))
        })
    }
}

/// Who takes records: Kafka, or a test.
pub trait Publish: Send + Sync {
    /// Takes a record, or says at once that it can't. Never blocks. Records of one partition keep
    /// the order of these calls.
    fn publish(&self, record: &Outgoing) -> Result<Delivery, ProduceError>;
}
