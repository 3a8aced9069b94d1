//! Making and dropping whole databases: for tests, load runs and first starts.

use crate::StoreError;

/// Makes the database `name` on the server of `url` (whose own database is only used to connect)
/// and returns the address of the new one. An existing one is kept.
pub async fn create_database(url: &str, name: &str) -> Result<String, StoreError> {
    let _ = (url, name);
    todo!()
}

/// Drops the database `name`, ending its connections. A missing one is no error.
pub async fn drop_database(url: &str, name: &str) -> Result<(), StoreError> {
    let _ = (url, name);
    todo!()
}
