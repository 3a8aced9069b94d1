//! What the pipeline asks of the outside: narrow traits, so that redelivery, fences and lost answers
//! are tested without servers. The adapters for the real ones are in [`crate::adapters`].

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use protocol::{Header, Home, Lane, RoomId, Seq, UserId};
use service::trace;
use store::{
    AppendError, Batch, Claim, EventKey, FoundEvents, HeldLane, LaneTable, MarkRaised,
    MessageTarget, StoreError, StoredRoom,
};

/// A topic that lanes are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// `chat-send`.
    Commands,
    /// `chat-signal`.
    Signals,
}

/// One record read from a lane.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Incoming {
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub payload: Option<Bytes>,
    /// The span that sent it, if it is traced. No part of what it says: nothing is decided by it.
    pub trace: Option<trace::Context>,
}

/// A topic that records are sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sink {
    /// This home's partition of `chat-receive`.
    Home(Home),
    /// The partition of `chat-receive` that every gateway reads.
    Broadcast,
    /// `chat-push`, by key.
    Push,
    /// `chat-dlq`, by key.
    Dlq,
}

/// One record to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to.
    pub sink: Sink,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its headers.
    pub headers: Vec<Header>,
    /// Its value.
    pub payload: Option<Bytes>,
    /// The span under which it is sent, if it is traced; then that one's own goes with it in a header.
    pub trace: Option<trace::Context>,
}

/// Why Kafka was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LogError(pub String);

/// Why a record is not known to be in Kafka.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There is no room for it now: it was not queued.
    #[error("there is no room")]
    Full,
    /// Kafka will never take it: sending it again is of no use.
    #[error("refused for good: {0}")]
    Refused(String),
    /// It may be there, or not: to be sent again.
    #[error("{0}")]
    Unknown(String),
}

/// What becomes of a queued record: ends when it is acknowledged.
pub type Ack = Pin<Box<dyn Future<Output = Result<(), PublishError>> + Send>>;

/// Why routes were not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RoutesError(pub String);

/// Where some users are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// The homes of those about whom something is known; none for who is not connected. **Who is not
    /// in here may be anywhere or nowhere.**
    pub known: HashMap<UserId, Vec<Home>>,
    /// Why routes were not read, if that was it.
    pub failure: Option<RoutesError>,
}

impl Whereabouts {
    /// The homes of a user, none for who is not connected; `None`: nothing is known.
    pub fn of(&self, user: UserId) -> Option<&[Home]> {
        self.known.get(&user).map(Vec::as_slice)
    }
}

/// The records of one lane, in order. Unread records wait in it, bounded: that is the backpressure.
pub trait Feed: Send + 'static {
    /// The next record; waits for it. Dropping the future loses nothing.
    fn recv(&mut self) -> impl Future<Output = Result<Incoming, LogError>> + Send;
    /// The next record if it is there already.
    fn try_recv(&mut self) -> Result<Option<Incoming>, LogError>;
}

/// Lanes to read.
pub trait Lanes: Clone + Send + Sync + 'static {
    /// One lane's records.
    type Feed: Feed;
    /// The id of `chat-send`: another one means other offsets.
    fn topic_id(&self) -> impl Future<Output = Result<String, LogError>> + Send;
    /// The first offset there is, and the one that the next record will have.
    fn bounds(
        &self,
        source: Source,
        lane: Lane,
    ) -> impl Future<Output = Result<(i64, i64), LogError>> + Send;
    /// The offsets that the next commands of lanes will have, of those lanes whose leader says so.
    fn ends(
        &self,
        lanes: &[Lane],
    ) -> impl Future<Output = Result<Vec<(Lane, i64)>, LogError>> + Send;
    /// Starts reading at `start`, until the feed is dropped.
    fn add(
        &self,
        source: Source,
        lane: Lane,
        start: i64,
    ) -> impl Future<Output = Result<Self::Feed, LogError>> + Send;
    /// Where a reader of the group left off: the next offset to read.
    fn committed(
        &self,
        source: Source,
        lane: Lane,
    ) -> impl Future<Output = Result<Option<i64>, LogError>> + Send;
    /// Notes the next offset to read: for `chat-send` for lag tools only. A failure is counted and
    /// left to the next call.
    fn commit(
        &self,
        source: Source,
        next: &[(Lane, i64)],
    ) -> impl Future<Output = Result<(), LogError>> + Send;
}

/// Sending.
pub trait Publish: Clone + Send + Sync + 'static {
    /// Queues one record *in this call*, so that calls keep their order within a partition.
    fn publish(&self, record: &Outgoing) -> Result<Ack, PublishError>;
}

/// Where users are connected.
pub trait Routes: Clone + Send + Sync + 'static {
    /// Where users are. Must not be older than the route cache allows, counted from this call (I4),
    /// and must not be waited for: what can't be said at once is not known.
    fn homes(&self, users: &[UserId]) -> impl Future<Output = Whereabouts> + Send;
}

/// All of the outside of one process, as types.
pub trait Outside: Send + Sync + 'static {
    /// Postgres.
    type Ledger: Ledger;
    /// Kafka, read.
    type Lanes: Lanes;
    /// Kafka, written.
    type Publish: Publish;
    /// Redis.
    type Routes: Routes;
}

/// What Postgres does for a classifier; each as the method of `store::Store` of that name says.
#[expect(missing_docs, reason = "documented where they are implemented")]
pub trait Ledger: Clone + Send + Sync + 'static {
    fn heartbeat(
        &self,
        me: &str,
        lease: Duration,
        held: &[HeldLane],
    ) -> impl Future<Output = Result<LaneTable, StoreError>> + Send;
    fn lane_table(&self) -> impl Future<Output = Result<LaneTable, StoreError>> + Send;
    fn claim(
        &self,
        me: &str,
        lane: Lane,
        topic_id: &str,
        lease: Duration,
    ) -> impl Future<Output = Result<Option<Claim>, StoreError>> + Send;
    fn cut_back(
        &self,
        me: &str,
        lane: Lane,
        epoch: i64,
        last: i64,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
    fn release(
        &self,
        me: &str,
        lane: Lane,
        epoch: i64,
        routed: i64,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
    fn leave(&self, me: &str) -> impl Future<Output = Result<(), StoreError>> + Send;
    fn append(&self, batch: &Batch) -> impl Future<Output = Result<(), AppendError>> + Send;
    fn load_rooms(
        &self,
        rooms: &[RoomId],
    ) -> impl Future<Output = Result<HashMap<RoomId, StoredRoom>, StoreError>> + Send;
    fn load_messages(
        &self,
        targets: &[(RoomId, Seq)],
    ) -> impl Future<Output = Result<HashMap<(RoomId, Seq), MessageTarget>, StoreError>> + Send;
    fn find_events(
        &self,
        keys: &[EventKey],
        lanes: &[Lane],
    ) -> impl Future<Output = Result<FoundEvents, StoreError>> + Send;
    fn raise_marks(
        &self,
        marks: &[(RoomId, UserId, Seq)],
    ) -> impl Future<Output = Result<Vec<MarkRaised>, StoreError>> + Send;
}
