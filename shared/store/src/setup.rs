//! The schema.

use tokio_postgres::{Client, Config, NoTls};

use crate::{Store, StoreError};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The advisory lock under which the schema is changed: the tool itself takes none.
const SETUP_LOCK: i64 = 0x5357_4954_4348; // "SWITCH"

impl Store {
    /// Brings the schema up to date. Safe to run twice and side by side.
    pub async fn setup(&self) -> Result<(), StoreError> {
        let mut client = open(self.config()).await?;
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

/// A connection outside the pool, without its timeouts: what changes a schema may take its time.
pub(crate) async fn open(config: &Config) -> Result<Client, StoreError> {
    let (client, connection) = config
        .connect(NoTls)
        .await
        .map_err(|error| StoreError::of_connection(&error))?;
    tokio::spawn(async move {
        // Ends with the client; what broke it is what the client's next call says.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection ended");
        }
    });
    Ok(client)
}
