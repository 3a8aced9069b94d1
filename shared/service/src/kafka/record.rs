//! Records on their way out and in.

use std::sync::Arc;

use bytes::Bytes;
use rdkafka::Message as _;
use rdkafka::message::{BorrowedMessage, Header, OwnedHeaders};

use super::native;

/// A record to be produced.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition; by the key's hash if absent, as Kafka's own clients do.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<Bytes>,
    /// Headers.
    pub headers: Vec<(&'static str, Bytes)>,
    /// The value.
    pub payload: Option<Bytes>,
}

impl Outgoing {
    /// An empty record for a topic, to be filled in.
    pub fn to(topic: &Arc<str>) -> Self {
        Self {
            topic: Arc::clone(topic),
            partition: None,
            key: None,
            headers: Vec::new(),
            payload: None,
        }
    }

    /// Its size as the limits count it, with what Kafka adds.
    pub fn size(&self) -> usize {
        let key = self.key.as_ref().map_or(0, Bytes::len);
        let payload = self.payload.as_ref().map_or(0, Bytes::len);
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len() + 10)
            .sum();
        key + payload + headers + 100
    }

    pub(super) fn native_headers(&self) -> Option<OwnedHeaders> {
        if self.headers.is_empty() {
            return None;
        }
        let headers = OwnedHeaders::new_with_capacity(self.headers.len());
        Some(self.headers.iter().fold(headers, |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: Some(value.as_ref()),
            })
        }))
    }
}

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The partition.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
    /// The key.
    pub key: Option<Bytes>,
    /// Headers, in order. A name that is not UTF-8 is changed until it is, a value that is null
    /// is empty: strange records are for the reader to refuse, not to fall over.
    pub headers: Vec<(String, Bytes)>,
    /// The value.
    pub payload: Option<Bytes>,
    /// When it was produced, in ms since 1970; 0 if it does not say.
    pub timestamp_ms: i64,
}

impl Incoming {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// Headers as slices, as decoders take them.
    pub fn header_slices(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_ref()))
    }

    pub(super) fn copied(message: &BorrowedMessage<'_>) -> Self {
        Self {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(Bytes::copy_from_slice),
            headers: message.headers().map(native::headers).unwrap_or_default(),
            payload: message.payload().map(Bytes::copy_from_slice),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
        }
    }
}
