//! The store, as the pipeline sees it.

use std::collections::HashMap;
use std::time::Duration;

use protocol::{Lane, RoomId, Seq, UserId};
use store::{
    AppendError, Batch, Claim, EventKey, FoundEvents, HeldLane, LaneTable, MarkRaised,
    MessageTarget, Store, StoreError, StoredRoom,
};

use crate::ports::Ledger;

impl Ledger for Store {
    async fn heartbeat(
        &self,
        me: &str,
        lease: Duration,
        held: &[HeldLane],
    ) -> Result<LaneTable, StoreError> {
        Self::heartbeat(self, me, lease, held).await
    }

    async fn lane_table(&self) -> Result<LaneTable, StoreError> {
        Self::lane_table(self).await
    }

    async fn claim(
        &self,
        me: &str,
        lane: Lane,
        topic_id: &str,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        Self::claim(self, me, lane, topic_id, lease).await
    }

    async fn cut_back(
        &self,
        me: &str,
        lane: Lane,
        epoch: i64,
        last: i64,
    ) -> Result<bool, StoreError> {
        Self::cut_back(self, me, lane, epoch, last).await
    }

    async fn release(
        &self,
        me: &str,
        lane: Lane,
        epoch: i64,
        routed: i64,
    ) -> Result<bool, StoreError> {
        Self::release(self, me, lane, epoch, routed).await
    }

    async fn leave(&self, me: &str) -> Result<(), StoreError> {
        Self::leave(self, me).await
    }

    async fn append(&self, batch: &Batch) -> Result<(), AppendError> {
        Self::append(self, batch).await
    }

    async fn load_rooms(
        &self,
        rooms: &[RoomId],
    ) -> Result<HashMap<RoomId, StoredRoom>, StoreError> {
        Self::load_rooms(self, rooms).await
    }

    async fn load_messages(
        &self,
        targets: &[(RoomId, Seq)],
    ) -> Result<HashMap<(RoomId, Seq), MessageTarget>, StoreError> {
        Self::load_messages(self, targets).await
    }

    async fn find_events(
        &self,
        keys: &[EventKey],
        lanes: &[Lane],
    ) -> Result<FoundEvents, StoreError> {
        Self::find_events(self, keys, lanes).await
    }

    async fn raise_marks(
        &self,
        marks: &[(RoomId, UserId, Seq)],
    ) -> Result<Vec<MarkRaised>, StoreError> {
        Self::raise_marks(self, marks).await
    }
}
