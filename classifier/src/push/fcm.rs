//! Firebase Cloud Messaging, HTTP v1: a user's devices, each told in order, side by side.
//!
//! | module | what |
//! | --- | --- |
//! | `credentials` | the key file of a service account |
//! | `access` | the token that requests are made with, for as long as it is good |
//! | `message` | what is sent to a device; pure |
//! | `answer` | what FCM's answer means; pure |

mod access;
mod answer;
mod credentials;
mod message;

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use service::clock::Clock;
use service::lifecycle::chain;
use store::{Device, Store};

pub use credentials::CredentialsError;

use super::notices::Notices;
use super::settings::FcmSettings;
use super::told::{Fate, Told};
use super::tries::{End, Tries};
use super::verdict::{To, Verdict, retry_after};
use crate::pipeline::backoff::{Backoff, Stopped};
use access::Access;
use credentials::Credentials;

/// The most that is read of an answer: an error of FCM's is some hundred bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Why FCM can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FcmError {
    /// The key file.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The HTTP client.
    #[error("requests can't be made")]
    Client(#[from] reqwest::Error),
    /// Project and address make no address.
    #[error("push.fcm_url and the project of the key file make no address")]
    Address,
}

/// The way to FCM.
pub(super) struct Fcm {
    client: Client,
    url: Url,
    access: Access,
    store: Store,
}

impl Fcm {
    /// FCM as the settings say. Nothing is sent yet.
    pub(super) fn new(
        settings: &FcmSettings,
        timeout: Duration,
        store: Store,
        clock: Clock,
    ) -> Result<Self, FcmError> {
        let client = Client::builder()
            .timeout(timeout)
            .redirect(Policy::none())
            .user_agent("switchboard")
            .build()?;
        let credentials = Credentials::read(&settings.credentials)?;
        let path = format!("v1/projects/{}/messages:send", credentials.project);
        let base = format!("{}/", settings.url.as_str().trim_end_matches('/'));
        let url = Url::parse(&base).and_then(|base| base.join(&path));
        Ok(Self {
            url: url.map_err(|_| FcmError::Address)?,
            access: Access::new(client.clone(), credentials, clock),
            client,
            store,
        })
    }

    /// Tells a user's devices: the fate of each push, in order.
    pub(super) async fn tell(
        &self,
        told: &[Option<Told>],
        notices: &Notices<'_>,
        tries: &Tries<'_>,
    ) -> Result<Vec<Fate>, Stopped> {
        let devices = self.devices(tries).await?;
        let fates = devices
            .iter()
            .map(|device| self.tell_one(device, told.to_vec(), notices, tries));
        let nowhere = told.iter().map(|one| match one {
            Some(_) => Fate::Nowhere,
            None => Fate::Nothing,
        });
        let mut whole: Vec<Fate> = nowhere.collect();
        for fates in join_all(fates).await {
            for (whole, fate) in whole.iter_mut().zip(fates?) {
                *whole = fate.max(*whole);
            }
        }
        Ok(whole)
    }

    async fn tell_one(
        &self,
        device: &Device,
        mut told: Vec<Option<Told>>,
        notices: &Notices<'_>,
        tries: &Tries<'_>,
    ) -> Result<Vec<Fate>, Stopped> {
        let mut fates = Vec::with_capacity(told.len());
        while fates.len() < told.len() {
            let mut trying = tries.begin(To::Fcm);
            let end = loop {
                let Some(one) = &told[fates.len()] else {
                    break None;
                };
                match trying.attempt(self.send(device, one)).await? {
                    Some(end) => break Some(end),
                    // What comes next has waited as long.
                    None => told = notices.now().await?,
                }
            };
            let (fate, rest) = match end {
                None => (Fate::Nothing, None),
                Some(End::Taken) => (Fate::Delivered, None),
                Some(End::Refused) => (Fate::GivenUp, None),
                Some(End::Tired) => (Fate::GivenUp, Some(Fate::GivenUp)),
                Some(End::Gone) => {
                    self.remove(device, tries).await;
                    (Fate::Nowhere, Some(Fate::Nowhere))
                }
            };
            fates.push(fate);
            if let Some(rest) = rest {
                fates.resize(told.len(), rest);
                break;
            }
        }
        Ok(fates)
    }

    async fn devices(&self, tries: &Tries<'_>) -> Result<Vec<Device>, Stopped> {
        let mut backoff = Backoff::default();
        loop {
            match self.store.devices(tries.user).await {
                Ok(devices) => return Ok(devices),
                Err(error) => {
                    tries.metrics.store_failures.inc();
                    let (user, error) = (tries.user, chain(&error));
                    tracing::warn!(%user, error, "pushes wait for the user's devices");
                    backoff.wait(tries.over).await?;
                }
            }
        }
    }

    /// One that stays is found gone again by the next push.
    async fn remove(&self, device: &Device, tries: &Tries<'_>) {
        let (user, device) = (tries.user, device.id);
        match self.store.remove_device(user, device).await {
            Ok(_) => {
                tries.metrics.devices_removed.inc();
                tracing::info!(%user, device, "a device is gone");
            }
            Err(error) => {
                tries.metrics.store_failures.inc();
                tracing::warn!(%user, device, error = chain(&error), "a device that is gone stays");
            }
        }
    }

    async fn send(&self, device: &Device, told: &Told) -> Verdict {
        let token = match self.access.token().await {
            Ok(token) => token,
            Err(why) => return Verdict::again(format!("no access token: {why}")),
        };
        let message = message::message(device, told);
        let request = self.client.post(self.url.clone());
        let request = request.bearer_auth(token.expose()).json(&message);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return Verdict::again(chain(&error.without_url())),
        };
        let (status, asked) = (answer.status(), retry_after(answer.headers()));
        if status.is_success() {
            return Verdict::Taken;
        }
        if status == StatusCode::UNAUTHORIZED {
            self.access.forget(&token).await;
        }
        answer::judge(status.as_u16(), asked, &body(answer).await)
    }
}

/// The body of an answer; what of it came.
async fn body(mut answer: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        if body.len() + chunk.len() > MAX_ANSWER {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    body
}
