//! A place among the users who are told at once.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

/// The place of one user's delivery. Whoever works on the delivery has a clone; when all of them pause
/// or are done, the place is the next one's: whoever is told late keeps nobody waiting (I9).
#[derive(Clone)]
pub(super) struct Slot {
    slots: Arc<Semaphore>,
    /// What the clones have of the place. Locked while one of them waits for it: the others get it then.
    shared: Arc<Mutex<Weak<OwnedSemaphorePermit>>>,
    held: Option<Arc<OwnedSemaphorePermit>>,
}

impl Slot {
    /// A place, in turn.
    pub(super) async fn of(slots: &Arc<Semaphore>) -> Self {
        let mut slot = Self {
            slots: Arc::clone(slots),
            shared: Arc::default(),
            held: None,
        };
        slot.take().await;
        slot
    }

    /// Gives the place back for a while; behind that it is had again, in turn.
    pub(super) async fn pause(&mut self, pause: Duration) {
        self.held = None;
        tokio::time::sleep(pause).await;
        self.take().await;
    }

    async fn take(&mut self) {
        let mut shared = self.shared.lock().await;
        let held = match shared.upgrade() {
            Some(held) => held,
            None => {
                let permit = Arc::clone(&self.slots).acquire_owned().await;
                let held = Arc::new(permit.expect("it is never closed"));
                *shared = Arc::downgrade(&held);
                held
            }
        };
        self.held = Some(held);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(20);
    const HOUR: Duration = Duration::from_secs(3_600);

    /// Two work in one place: it is the next one's while both pause, and had again in turn.
    #[tokio::test]
    async fn i9_a_place_is_free_while_nobody_works_in_it() {
        let slots = Arc::new(Semaphore::new(1));
        let mut webhook = Slot::of(&slots).await;
        let mut device = webhook.clone();
        let pausing = tokio::spawn(async move { webhook.pause(HOUR).await });
        assert!(timeout(MOMENT, Slot::of(&slots)).await.is_err());
        let mut also = tokio::spawn(async move {
            device.pause(Duration::ZERO).await;
            device
        });
        let other = Slot::of(&slots).await;
        // The pause is over, and the place is somebody else's.
        assert!(timeout(MOMENT, &mut also).await.is_err());
        drop(other);
        let device = also.await.unwrap();
        let another = device.clone();
        drop(device);
        assert_eq!(slots.available_permits(), 0);
        drop(another);
        assert_eq!(slots.available_permits(), 1);
        pausing.abort();
    }
}
