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

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    /// The user's id, in decimal.
    sub: String,
    /// Seconds since 1970.
    exp: u64,
}

/// Checks tokens and, if allowed, gives them out. Without `Debug`: it holds keys.
pub struct Authority {
    keys: Keys,
    leeway: u64,
    dev: Option<EncodingKey>,
}

impl Authority {
    /// Reads the keys.
    pub fn new(settings: &AuthSettings) -> Result<Self, KeyError> {
        let sign = |secret: &Secret| EncodingKey::from_secret(secret.expose().as_bytes());
        Ok(Self {
            keys: Keys::read(settings)?,
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
            let mut validation = Validation::new(key.algorithm);
            validation.leeway = self.leeway;
            validation.validate_nbf = true;
            // Which audience is meant is for a setting to say, once there is more than one.
            validation.validate_aud = false;
            match decode::<Claims>(token, &key.key, &validation) {
                Ok(data) => return data.claims.sub.parse().map_err(|_| Refused::Wrong),
                Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => {
                    refused = Refused::Expired;
                }
                Err(_) => {}
            }
        }
        Err(refused)
    }

    /// A token for development; none where that is not allowed.
    pub fn dev_token(&self, user: UserId, now_ms: i64) -> Option<String> {
        let key = self.dev.as_ref()?;
        let now = u64::try_from(now_ms / 1000).ok()?;
        let claims = Claims {
            sub: user.to_string(),
            exp: now + DEV_TOKEN.as_secs(),
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
