//! Making and dropping whole databases: for tests, load runs and first starts.

use tokio_postgres::error::SqlState;

use crate::connect::Way;
use crate::{StoreError, StoreSettings};

/// Makes the database `name` on the server of these settings (whose own database is only used to
/// connect) and returns the address of the new one. An existing one is kept.
pub async fn create_database(settings: &StoreSettings, name: &str) -> Result<String, StoreError> {
    let quoted = quoted(name)?;
    let address = address_of(&settings.url, name)?;
    let client = Way::to(settings)?.open().await?;
    // A copy of template0: template1 can't be copied while anybody is connected to it.
    match client
        .execute(&format!("create database {quoted} template template0"), &[])
        .await
    {
        Ok(_) => Ok(address),
        Err(error) if error.code() == Some(&SqlState::DUPLICATE_DATABASE) => Ok(address),
        // Two that make it at the same moment collide in the catalogue itself.
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Ok(address),
        Err(error) => Err(StoreError::of_statement("create_database", error)),
    }
}

/// Drops the database `name`, ending its connections. A missing one is no error.
pub async fn drop_database(settings: &StoreSettings, name: &str) -> Result<(), StoreError> {
    let quoted = quoted(name)?;
    let client = Way::to(settings)?.open().await?;
    client
        .execute(
            &format!("drop database if exists {quoted} with (force)"),
            &[],
        )
        .await
        .map(drop)
        .map_err(|error| StoreError::of_statement("drop_database", error))
}

/// A name can't be a parameter of these statements: it may hold nothing that needs quoting.
fn quoted(name: &str) -> Result<String, StoreError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > 63 || !name.chars().all(plain) {
        return Err(StoreError::Settings {
            setting: "the database's name",
            reason: format!("{name:?} is not 1 to 63 letters, digits, '_' or '-'"),
        });
    }
    Ok(format!("\"{name}\""))
}

/// `url` with another database.
fn address_of(url: &str, name: &str) -> Result<String, StoreError> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| StoreError::Settings {
        setting: "postgres.url",
        reason: "a postgres:// address is needed".to_owned(),
    })?;
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (rest, String::new()),
    };
    let server = path.split_once('/').map_or(path, |(server, _)| server);
    Ok(format!("{scheme}://{server}/{name}{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_database_is_exchanged() {
        for (url, expected) in [
            ("postgres://u@h:5/old", "postgres://u@h:5/new"),
            ("postgres://u:p@h", "postgres://u:p@h/new"),
            ("postgres://h/old?a=b/c", "postgres://h/new?a=b/c"),
        ] {
            assert_eq!(address_of(url, "new").unwrap(), expected);
        }
        assert!(address_of("host=h dbname=old", "new").is_err());
    }

    #[test]
    fn names_that_need_quoting_are_refused() {
        assert!(quoted("a-b_1").is_ok());
        for name in ["", "a\"b", "a b", "a;b", &"x".repeat(64)] {
            assert!(quoted(name).is_err(), "{name}");
        }
    }
}
