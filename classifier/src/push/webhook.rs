//! One request to the webhook: what is in it, how it is signed, what its answer means.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use protocol::{UserId, format_ms};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url};
use serde_json::{Value, json};
use service::clock::Clock;
use service::lifecycle::chain;
use service::settings::Secret;
use sha2::Sha256;

use super::http;
use super::notices::Notices;
use super::settings::WebhookSettings;
use super::slot::Slot;
use super::told::{Fate, Said, Told, fates};
use super::tries::{End, Tries};
use super::verdict::{To, Verdict, retry_after};
use crate::pipeline::backoff::Stopped;

/// When it was signed: seconds since 1970, in decimal.
pub const TIMESTAMP: &str = "switchboard-timestamp";
/// `v1=` and [`signature`].
pub const SIGNATURE: &str = "switchboard-signature";

/// Where pushes go.
#[derive(Clone)]
pub(super) struct Webhook {
    client: Client,
    url: Url,
    secret: Secret,
    clock: Clock,
}

impl Webhook {
    /// A webhook as the settings say. Nothing is sent yet.
    ///
    /// # Errors
    /// When TLS can't be set up on this machine.
    pub(super) fn new(
        settings: &WebhookSettings,
        timeout: Duration,
        clock: Clock,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            client: http::client(timeout)?,
            url: settings.url.clone(),
            secret: settings.secret.clone(),
            clock,
        })
    }

    /// Tells a user's pushes in one request, however often it takes; each time as they are then.
    /// The fate of each, in order.
    pub(super) async fn tell(
        &self,
        mut told: Vec<Said>,
        notices: &Notices<'_>,
        tries: &Tries<'_>,
        mut slot: Slot,
    ) -> Result<Vec<Fate>, Stopped> {
        let mut trying = tries.begin(To::Webhook, &mut slot);
        let fate = loop {
            if told.iter().all(Result::is_err) {
                break Fate::Nothing;
            }
            let body = body(tries.user, told.iter().flatten());
            match trying.attempt(self.post(body)).await? {
                Some(End::Taken) => break Fate::Delivered,
                Some(End::Gone | End::Refused | End::Tired) => break Fate::GivenUp,
                None => told = notices.now().await?,
            }
        };
        Ok(fates(&told, fate).collect())
    }

    /// Posts it, signed as of now.
    async fn post(&self, body: Bytes) -> Verdict {
        let timestamp = self.clock.wall_ms() / 1_000;
        let signature = signature(self.secret.expose(), timestamp, &body);
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(TIMESTAMP, timestamp.to_string())
            .header(SIGNATURE, format!("v1={signature}"))
            .body(body);
        match request.send().await {
            Ok(answer) => {
                let asked = retry_after(answer.headers(), self.clock.wall_ms());
                judge(answer.status().as_u16(), asked)
            }
            // The URL stays out of it: it may hold a token.
            Err(error) => Verdict::again(chain(&error.without_url())),
        }
    }
}

/// The content of a request: a user's pushes, oldest first.
fn body<'a>(user: UserId, told: impl Iterator<Item = &'a Told>) -> Bytes {
    let messages: Vec<Value> = told
        .map(|told| {
            json!({
                "room": told.room,
                "seq": told.seq,
                "sender": told.notice.sender,
                "sender_name": told.sender_name,
                "preview": told.notice.preview,
                "at": format_ms(told.notice.at),
            })
        })
        .collect();
    Bytes::from(json!({"user": user, "messages": messages}).to_string())
}

/// HMAC-SHA256 (RFC 2104) of the timestamp in decimal, a full stop, and the body; in hexadecimal.
/// The timestamp is in it so that who listens in can't send the same again later.
pub fn signature(secret: &str, timestamp: i64, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length will do");
    mac.update(format!("{timestamp}.").as_bytes());
    mac.update(body);
    let bytes = mac.finalize().into_bytes();
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Only what says that the content itself is wrong is final: a webhook that is moved, closed, or
/// does not know our secret, is somebody's to put right, and nothing is lost meanwhile.
fn judge(status: u16, asked: Option<Duration>) -> Verdict {
    match status {
        200..=299 => Verdict::Taken,
        400 | 410 | 413 | 415 | 422 => Verdict::Refused {
            why: format!("status {status}"),
        },
        _ => Verdict::Again {
            why: format!("status {status}"),
            asked,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `openssl dgst -sha256 -hmac Jefe` has it.
    #[test]
    fn the_signature_is_hmac_sha256_of_timestamp_and_body() {
        assert_eq!(
            signature("Jefe", 1_700_000_000, b"what do ya want for nothing?"),
            "1cdd0650c8be1cb0974b1788d458b1e781206cfef59b85faafc582d2e182c57e"
        );
    }

    #[test]
    fn only_wrong_content_is_final() {
        assert_eq!(judge(204, None), Verdict::Taken);
        for status in [400, 410, 413, 422] {
            assert!(
                matches!(judge(status, None), Verdict::Refused { .. }),
                "{status}"
            );
        }
        let minute = Some(Duration::from_secs(60));
        for status in [302, 401, 404, 408, 429, 500, 503] {
            let again = judge(status, minute);
            assert!(
                matches!(again, Verdict::Again { asked, .. } if asked == minute),
                "{status}"
            );
        }
    }

    #[test]
    fn a_body_names_the_user_and_the_messages_in_order() {
        let told = |seq: i64| Told {
            room: protocol::RoomId::new(7).unwrap(),
            seq: protocol::Seq::new(seq).unwrap(),
            notice: store::Notice {
                sender: UserId::new(1).unwrap(),
                preview: "hi".into(),
                at: 0,
            },
            sender_name: "ann".into(),
        };
        let body = body(UserId::new(3).unwrap(), [told(4), told(5)].iter());
        let read: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(read["user"], 3);
        assert_eq!(read["messages"][1]["seq"], 5);
        let first = json!({"room": 7, "seq": 4, "sender": 1, "sender_name": "ann", "preview": "hi", "at": "1970-01-01T00:00:00.000Z"});
        assert_eq!(read["messages"][0], first);
    }
}
