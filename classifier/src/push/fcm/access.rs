//! Access to FCM: a signed assertion is traded for a token (RFC 7523), which is good for an hour.

use std::time::Duration;

use jsonwebtoken::{Algorithm, Header, encode};
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use service::clock::Clock;
use service::lifecycle::chain;
use service::settings::Secret;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::credentials::Credentials;

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// `urn:ietf:params:oauth:grant-type:jwt-bearer`, as a form has it.
const GRANT: &str = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
/// The longest that an assertion may be good for, in seconds.
const ASSERTED: i64 = 3_600;
/// The longest that a token is used, whatever is said of it.
const LONGEST: Duration = Duration::from_secs(3_600);
/// A token is not used in its last minute: a request takes its time, too.
const MARGIN: Duration = Duration::from_secs(60);
/// After a failure nobody asks again for this long: who waited with the one that failed gets its
/// answer.
const PAUSE: Duration = Duration::from_secs(1);

/// The token that requests are made with.
pub(super) struct Access {
    client: Client,
    credentials: Credentials,
    clock: Clock,
    /// Locked while a new one is fetched: one asks, the others wait.
    held: Mutex<Held>,
}

enum Held {
    Nothing,
    Token { token: Secret, until: Instant },
    Failed { why: String, until: Instant },
}

impl Access {
    pub(super) fn new(client: Client, credentials: Credentials, clock: Clock) -> Self {
        Self {
            client,
            credentials,
            clock,
            held: Mutex::new(Held::Nothing),
        }
    }

    /// A token that is good; or why there is none now.
    pub(super) async fn token(&self) -> Result<Secret, String> {
        let mut held = self.held.lock().await;
        let now = Instant::now();
        match &*held {
            Held::Token { token, until } if now < *until => return Ok(token.clone()),
            Held::Failed { why, until } if now < *until => return Err(why.clone()),
            Held::Nothing | Held::Token { .. } | Held::Failed { .. } => {}
        }
        match self.fetch().await {
            Ok((token, good_for)) => {
                *held = Held::Token {
                    token: token.clone(),
                    // Counted from before it was asked for.
                    until: now + good_for.saturating_sub(MARGIN).max(PAUSE),
                };
                Ok(token)
            }
            Err(why) => {
                *held = Held::Failed {
                    why: why.clone(),
                    until: Instant::now() + PAUSE,
                };
                Err(why)
            }
        }
    }

    /// FCM did not take this token: the next request has a new one.
    pub(super) async fn forget(&self, refused: &Secret) {
        let mut held = self.held.lock().await;
        if matches!(&*held, Held::Token { token, .. } if token == refused) {
            *held = Held::Nothing;
        }
    }

    async fn fetch(&self) -> Result<(Secret, Duration), String> {
        let body = format!("grant_type={GRANT}&assertion={}", self.assertion()?);
        let request = self.client.post(self.credentials.token_url.clone());
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = request.body(body).send().await;
        let answer = answer.map_err(|error| chain(&error.without_url()))?;
        let status = answer.status();
        let body = super::body(answer).await;
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        if !status.is_success() {
            // Words of RFC 6749, as `invalid_grant`.
            let word = said["error"].as_str().unwrap_or_default();
            return Err(format!("status {status}: {word}"));
        }
        let token = said["access_token"].as_str().ok_or("the answer has none")?;
        Ok((Secret::new(token), good_for(&said)))
    }

    fn assertion(&self) -> Result<String, String> {
        let mut header = Header::new(Algorithm::RS256);
        header.kid.clone_from(&self.credentials.key_id);
        let now = self.clock.wall_ms() / 1_000;
        let claims = json!({
            "iss": self.credentials.email,
            "scope": SCOPE,
            "aud": self.credentials.audience,
            "iat": now,
            "exp": now + ASSERTED,
        });
        let signed = encode(&header, &claims, &self.credentials.key);
        signed.map_err(|error| format!("the assertion can't be signed: {error}"))
    }
}

/// For how long the token of this answer is used.
fn good_for(said: &Value) -> Duration {
    let seconds = said["expires_in"].as_u64().unwrap_or(0);
    Duration::from_secs(seconds).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Added to a time it would be more than there is of time.
    #[test]
    fn no_token_is_good_for_ever() {
        assert_eq!(good_for(&json!({ "expires_in": u64::MAX })), LONGEST);
        let short = Duration::from_secs(90);
        assert_eq!(good_for(&json!({ "expires_in": 90 })), short);
        assert_eq!(good_for(&json!({ "expires_in": -1 })), Duration::ZERO);
    }
}
