//! A home's log, as tests play it for whoever reads.

use bytes::Bytes;
use protocol::DeliveryHeaders;
use service::kafka::{FeedError, Incoming, ReadFeed};
use tokio::sync::mpsc;

/// Puts records into a log, or what ends the reading of it.
pub(crate) type Feeder = mpsc::UnboundedSender<Result<Incoming, FeedError>>;

/// A log with what was put into it; it is removed with its feeder.
pub(crate) struct Fed(mpsc::UnboundedReceiver<Result<Incoming, FeedError>>);

pub(crate) fn fed() -> (Feeder, Fed) {
    let (feeder, records) = mpsc::unbounded_channel();
    (feeder, Fed(records))
}

impl ReadFeed for Fed {
    fn try_recv(&mut self) -> Result<Option<Incoming>, FeedError> {
        self.0.try_recv().ok().transpose()
    }

    async fn recv(&mut self) -> Result<Incoming, FeedError> {
        self.0.recv().await.unwrap_or(Err(FeedError::Removed))
    }
}

/// A record of a home.
pub(crate) fn record(home: i32, offset: i64, headers: &DeliveryHeaders) -> Incoming {
    let headers = headers.encode().into_iter();
    Incoming {
        partition: home,
        offset,
        key: None,
        headers: headers
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        payload: Some(Bytes::from_static(b"{}")),
        timestamp_ms: 0,
    }
}
