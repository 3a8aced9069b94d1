//! The line of each partition.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::line::Line;

/// One partition's line, with a lock of its own: whoever hands records over for one partition keeps
/// nobody from another.
pub(super) struct Place<T>(Mutex<Line<T>>);

/// By topic and partition. Never removed: as many as partitions that were written to.
type Places<T> = HashMap<(Arc<str>, i32), Arc<Place<T>>>;

/// All of them.
pub(super) struct Lines<T>(RwLock<Places<T>>);

impl<T> Place<T> {
    pub(super) fn lock(&self) -> MutexGuard<'_, Line<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<T> Lines<T> {
    /// A partition's line, empty at first.
    pub(super) fn of(&self, topic: &Arc<str>, partition: i32) -> Arc<Place<T>> {
        let key = (Arc::clone(topic), partition);
        let places = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get(&key) {
            return Arc::clone(place);
        }
        drop(places);
        let mut places = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let place = places.entry(key);
        Arc::clone(place.or_insert_with(|| Arc::new(Place(Mutex::default()))))
    }

    /// Every line.
    pub(super) fn all(&self) -> Vec<Arc<Place<T>>> {
        let places = self.0.read().unwrap_or_else(PoisonError::into_inner);
        places.values().cloned().collect()
    }
}
