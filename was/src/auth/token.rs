//! Checking a token, and giving one out for development.

use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, EncodingKey, Header, Validation, decode, decode_header, encode};
use protocol::{CloseCode, UserId};
use serde::{Deserialize, Serialize};
use service::settings::Secret;

use super::keys::{AuthSettings, KeyError, Keys};

/// How long a development token is good for.
const DEV_TOKEN: Duration = Duration::from_secs(24 * 3600);

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not a token, not signed by a known key, not for a user.
    #[error("the token is not valid")]
    Wrong,
    /// It was good once.
    #[error("the token has expired")]
    Expired,
}

impl Refused {
    /// The socket's close code.
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::Wrong => CloseCode::Unauthorized,
            Self::Expired => CloseCode::TokenExpired,
        }
    }
}

/// What is taken from a token; the rest is checked where it is decoded.
#[derive(Debug, Deserialize)]
struct Claims {
    /// The user's id, in decimal.
    sub: String,
}

/// What is in a token given out here.
#[derive(Debug, Serialize)]
struct Given<'a> {
    sub: String,
    /// Seconds since 1970.
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
}

/// Checks tokens and, if allowed, gives them out. Without `Debug`: it holds keys.
pub struct Authority {
    keys: Keys,
    issuer: Option<String>,
    audience: Option<String>,
    leeway: u64,
    dev: Option<EncodingKey>,
}

impl Authority {
    /// Reads the keys.
    pub fn new(settings: &AuthSettings) -> Result<Self, KeyError> {
        let sign = |secret: &Secret| EncodingKey::from_secret(secret.expose().as_bytes());
        Ok(Self {
            keys: Keys::read(settings)?,
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            leeway: settings.leeway.as_secs(),
            dev: settings
                .hs256_secret
                .as_ref()
                .filter(|_| settings.dev_tokens)
                .map(sign),
        })
    }

    /// The user that a token names.
    pub fn verify(&self, token: &str) -> Result<UserId, Refused> {
        let header = decode_header(token).map_err(|_| Refused::Wrong)?;
        let mut refused = Refused::Wrong;
        for key in &self.keys.0 {
            // The key decides the algorithm, not the token: else a public key could be used as a
            // shared secret.
            let named = header.kid.is_none() || key.id.is_none() || header.kid == key.id;
            if key.algorithm != header.alg || !named {
                continue;
            }
            match decode::<Claims>(token, &key.key, &self.validation(key.algorithm)) {
                Ok(data) => return data.claims.sub.parse().map_err(|_| Refused::Wrong),
                Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => {
                    refused = Refused::Expired;
                }
                Err(_) => {}
            }
        }
        Err(refused)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.leeway;
        validation.validate_nbf = true;
        validation.validate_aud = self.audience.is_some();
        let mut required = vec!["exp"];
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        if let Some(audience) = &self.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        // Without it a token that does not say would pass.
        validation.set_required_spec_claims(&required);
        validation
    }

    /// A token for development; none where that is not allowed.
    pub fn dev_token(&self, user: UserId, now_ms: i64) -> Option<String> {
        let key = self.dev.as_ref()?;
        let now = u64::try_from(now_ms / 1000).ok()?;
        let claims = Given {
            sub: user.to_string(),
            exp: now + DEV_TOKEN.as_secs(),
            iss: self.issuer.as_deref(),
            aud: self.audience.as_deref(),
        };
        encode(&Header::new(Algorithm::HS256), &claims, key).ok()
    }

    /// Whether development tokens are given out.
    pub fn gives_dev_tokens(&self) -> bool {
        self.dev.is_some()
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
