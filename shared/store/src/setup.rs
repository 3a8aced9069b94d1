//! The schema.

use crate::{Store, StoreError};

impl Store {
    /// Brings the schema up to date. Safe to run twice and side by side.
    pub async fn setup(&self) -> Result<(), StoreError> {
        todo!()
    }
}
