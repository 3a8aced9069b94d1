//! The key file of a service account, as Google's console gives it.

use std::path::{Path, PathBuf};

use jsonwebtoken::EncodingKey;
use reqwest::Url;
use serde_json::Value;

/// Why a key file can't be used. What is in it is never told.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// It can't be read.
    #[error("push.fcm_credentials: {} can't be read", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is something else.
    #[error("push.fcm_credentials: {} is no key file of a service account: {wrong}", path.display())]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        wrong: &'static str,
    },
}

/// A service account and its private key.
pub(super) struct Credentials {
    /// The project that its devices belong to.
    pub(super) project: String,
    /// Who asks for access.
    pub(super) email: String,
    /// Which of its keys this is.
    pub(super) key_id: Option<String>,
    /// The key.
    pub(super) key: EncodingKey,
    /// Where access is asked for, and to whom that is said: exactly as it stands in the file.
    pub(super) audience: String,
    /// The same, as an address.
    pub(super) token_url: Url,
}

impl Credentials {
    /// Reads a key file.
    pub(super) fn read(path: &Path) -> Result<Self, CredentialsError> {
        let bytes = std::fs::read(path).map_err(|source| CredentialsError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&bytes).map_err(|wrong| CredentialsError::Wrong {
            path: path.to_owned(),
            wrong,
        })
    }

    fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let file: Value = serde_json::from_slice(bytes).map_err(|_| "not JSON")?;
        let text = |name| file[name].as_str().filter(|text| !text.is_empty());
        if text("type") != Some("service_account") {
            return Err("its type is not service_account");
        }
        let project = text("project_id").ok_or("project_id is missing")?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if !project.bytes().all(plain) {
            return Err("project_id is none");
        }
        let audience = text("token_uri").ok_or("token_uri is missing")?;
        let token_url = Url::parse(audience).ok();
        let token_url = token_url.filter(|url| ["http", "https"].contains(&url.scheme()));
        let key = text("private_key").ok_or("private_key is missing")?;
        Ok(Self {
            project: project.to_owned(),
            email: text("client_email")
                .ok_or("client_email is missing")?
                .to_owned(),
            key_id: text("private_key_id").map(str::to_owned),
            key: EncodingKey::from_rsa_pem(key.as_bytes())
                .map_err(|_| "private_key is no RSA key in PEM")?,
            audience: audience.to_owned(),
            token_url: token_url.ok_or("token_uri is no address")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_with_a_key_file_is_told_and_not_what_is_in_it() {
        let whole = json!({
            "type": "service_account", "project_id": "chat-1", "client_email": "push@chat-1",
            "token_uri": "https://oauth2.example/token", "private_key": "s3cret",
        });
        let wrong = |name: &str, value: Value| {
            let mut file = whole.clone();
            file[name] = value;
            Credentials::parse(file.to_string().as_bytes()).err()
        };
        for (name, value) in [
            ("type", json!("authorized_user")),
            ("project_id", json!("../x")),
            ("project_id", Value::Null),
            ("token_uri", json!("token")),
            ("private_key", json!("s3cret")),
            ("private_key", Value::Null),
            ("client_email", json!("")),
        ] {
            let told = wrong(name, value).unwrap();
            assert!(!told.contains("s3cret"), "{told}");
        }
        assert_eq!(Credentials::parse(b"{").err(), Some("not JSON"));
        let missing = Credentials::read(Path::new("/nowhere/key.json"))
            .err()
            .unwrap();
        assert!(missing.to_string().contains("/nowhere/key.json"));
    }
}
