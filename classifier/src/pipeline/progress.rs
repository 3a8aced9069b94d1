//! What worker, router and owner tell each other about one claim of one lane.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use protocol::Lane;
use tokio::sync::Notify;

/// How far one claim of a lane is. Made by the owner, moved by the worker (`applied`) and the
/// settling task (`routed`).
#[derive(Debug)]
pub struct Progress {
    /// Which lane.
    pub lane: Lane,
    /// The claim's epoch.
    pub epoch: i64,
    applied: AtomicI64,
    /// What `applied` is once the append under way has committed.
    ahead: AtomicI64,
    routed: AtomicI64,
    lost: AtomicBool,
    routed_moved: Notify,
    owner: Arc<Notify>,
}

impl Progress {
    /// A fresh claim. `owner` is woken when the claim is lost.
    pub fn new(lane: Lane, claim: store::Claim, owner: Arc<Notify>) -> Self {
        Self {
            lane,
            epoch: claim.epoch,
            applied: AtomicI64::new(claim.applied),
            ahead: AtomicI64::new(claim.applied),
            routed: AtomicI64::new(claim.routed),
            lost: AtomicBool::new(false),
            routed_moved: Notify::new(),
            owner,
        }
    }

    /// The last offset that is known to be decided and committed.
    pub fn applied(&self) -> i64 {
        self.applied.load(Ordering::Acquire)
    }

    /// The last offset that may be committed by now.
    pub fn ahead(&self) -> i64 {
        self.ahead.load(Ordering::Acquire)
    }

    /// The last offset whose deliveries are acknowledged.
    pub fn routed(&self) -> i64 {
        self.routed.load(Ordering::Acquire)
    }

    /// An append that would decide up to `offset` is about to be sent.
    pub fn appending(&self, offset: i64) {
        self.ahead.store(offset, Ordering::Release);
    }

    /// The append under way did not happen.
    pub fn not_appended(&self) {
        self.ahead.store(self.applied(), Ordering::Release);
    }

    /// The append under way has committed.
    pub fn appended(&self, offset: i64) {
        self.applied.store(offset, Ordering::Release);
    }

    /// Deliveries up to `offset` are acknowledged.
    pub fn settle(&self, offset: i64) {
        self.routed.fetch_max(offset, Ordering::AcqRel);
        self.routed_moved.notify_waiters();
    }

    /// The claim is over: fenced, stale, unknown, or its feed failed.
    pub fn lose(&self) {
        self.lost.store(true, Ordering::Release);
        self.owner.notify_one();
    }

    /// Whether the claim is over.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Returns once all that is applied is routed as well.
    pub async fn settled(&self) {
        loop {
            // Listening before looking: a move in between is not missed.
            let moved = self.routed_moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if self.routed() >= self.applied() {
                return;
            }
            moved.await;
        }
    }
}
