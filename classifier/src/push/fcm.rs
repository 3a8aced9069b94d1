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
use reqwest::{Client, Response, Url};
use service::clock::Clock;
use service::lifecycle::chain;
use store::{Device, Store};

pub use credentials::CredentialsError;

use super::asking::answer;
use super::http;
use super::notices::Notices;
use super::settings::FcmSettings;
use super::slot::Slot;
use super::told::{Fate, Said, Told, fates};
use super::tries::{End, Tries};
use super::verdict::{To, Verdict, retry_after};
use crate::pipeline::backoff::Stopped;
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
    clock: Clock,
}

impl Fcm {
    /// FCM as the settings say. Nothing is sent yet.
    pub(super) fn new(
        settings: &FcmSettings,
        timeout: Duration,
        store: Store,
        clock: Clock,
    ) -> Result<Self, FcmError> {
        let client = http::client(timeout)?;
        let credentials = Credentials::read(&settings.credentials)?;
        let path = format!("v1/projects/{}/messages:send", credentials.project);
        let base = format!("{}/", settings.url.as_str().trim_end_matches('/'));
        let url = Url::parse(&base).and_then(|base| base.join(&path));
        Ok(Self {
            url: url.map_err(|_| FcmError::Address)?,
            access: Access::new(client.clone(), credentials, clock.clone()),
            clock,
            client,
            store,
        })
    }

    /// Tells a user's devices: the fate of each push, in order. What one device will never take is done
    /// if another has it.
    pub(super) async fn tell(
        &self,
        told: &[Said],
        notices: &Notices<'_>,
        tries: &Tries<'_>,
        slot: Slot,
    ) -> Result<Vec<Fate>, Stopped> {
        let devices = match self.devices(tries).await? {
            Some(devices) if devices.is_empty() => return Ok(fates(told, Fate::Nowhere).collect()),
            Some(devices) => devices,
            None => return Ok(fates(told, Fate::Unreadable).collect()),
        };
        let telling: Vec<_> = devices
            .iter()
            .map(|device| self.tell_one(device, told.to_vec(), notices, tries, slot.clone()))
            .collect();
        // Each device has its own.
        drop(slot);
        let mut whole = vec![Fate::Nothing; told.len()];
        for fates in join_all(telling).await {
            for (whole, fate) in whole.iter_mut().zip(fates?) {
                *whole = fate.max(*whole);
            }
        }
        for fate in &mut whole {
            if *fate == Fate::Refused {
                *fate = Fate::GivenUp;
            }
        }
        Ok(whole)
    }

    async fn tell_one(
        &self,
        device: &Device,
        mut told: Vec<Said>,
        notices: &Notices<'_>,
        tries: &Tries<'_>,
        mut slot: Slot,
    ) -> Result<Vec<Fate>, Stopped> {
        let mut done = Vec::with_capacity(told.len());
        let mut just_read = true;
        while done.len() < told.len() {
            let mut trying = tries.begin(To::Fcm, &mut slot);
            // The fate of this one, and of those behind it if it is all the same for them.
            let (fate, rest) = loop {
                let one = match &told[done.len()] {
                    Ok(one) => one,
                    Err(fate) => break (*fate, None),
                };
                // Signed out meanwhile, or somebody else's: it is not told what is not for it.
                if !std::mem::take(&mut just_read) {
                    let is_it = |other: &Device| other.id == device.id;
                    match self.devices(tries).await? {
                        Some(devices) if devices.iter().any(is_it) => {}
                        Some(_) => break (Fate::Nowhere, Some(Fate::Nowhere)),
                        None => break (Fate::Unreadable, Some(Fate::Unreadable)),
                    }
                }
                match trying.attempt(self.send(device, one)).await? {
                    // What comes next has waited as long.
                    None => told = notices.now().await?,
                    Some(End::Taken) => break (Fate::Delivered, None),
                    Some(End::Refused) => break (Fate::Refused, None),
                    Some(End::Tired) => break (Fate::GivenUp, Some(Fate::GivenUp)),
                    Some(End::Gone) => {
                        self.remove(device, tries).await;
                        break (Fate::Nowhere, Some(Fate::Nowhere));
                    }
                }
            };
            done.push(fate);
            if let Some(rest) = rest {
                done.extend(fates(&told[done.len()..], rest));
            }
        }
        Ok(done)
    }

    /// None: they can't be read.
    async fn devices(&self, tries: &Tries<'_>) -> Result<Option<Vec<Device>>, Stopped> {
        let question = || self.store.devices(tries.user);
        answer(question, tries.metrics, tries.over).await
    }

    /// One that stays is found gone again by the next push.
    async fn remove(&self, device: &Device, tries: &Tries<'_>) {
        let (user, device) = (tries.user, device.id);
        match self.store.remove_device(user, device).await {
            Ok(false) => {}
            Ok(true) => {
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
        let asked = retry_after(answer.headers(), self.clock.wall_ms());
        let status = answer.status();
        if status.is_success() {
            return Verdict::Taken;
        }
        let (status, body) = (status.as_u16(), body(answer).await);
        if answer::forgets_access(status, &body) {
            self.access.forget(&token).await;
        }
        answer::judge(status, asked, &body)
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
