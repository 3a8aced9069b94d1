//! The schema.

use crate::{Store, StoreError};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The advisory lock under which the schema is changed: the tool itself takes none.
const SETUP_LOCK: i64 = 0x5357_4954_4348; // "SWITCH"

impl Store {
    /// Brings the schema up to date. Safe to run twice and side by side.
    pub async fn setup(&self) -> Result<(), StoreError> {
        let mut client = self.way().open().await?;
        // Held by the session: a setup that dies lets go of it.
        client
            .execute("select pg_advisory_lock($1)", &[&SETUP_LOCK])
            .await
            .map_err(|error| StoreError::of_statement("setup", error))?;
        let report = embedded::migrations::runner()
            .run_async(&mut client)
            .await
            .map_err(|error| StoreError::Schema(Box::new(error)))?;
        for migration in report.applied_migrations() {
            tracing::info!(%migration, "schema changed");
        }
        client
            .execute("select pg_advisory_unlock($1)", &[&SETUP_LOCK])
            .await
            .map_err(|error| StoreError::of_statement("setup", error))?;
        Ok(())
    }
}
