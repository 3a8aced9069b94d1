//! Settings of `classifier push`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use service::settings::{Key, Secret, Values};

/// Where pushes are posted to. `push` does not run without this or [`FCM_CREDENTIALS`].
pub const WEBHOOK_URL: &str = "push.webhook_url";
/// What they are signed with.
const WEBHOOK_SECRET: &str = "push.webhook_secret";
/// The key file of the service account that pushes through FCM.
pub const FCM_CREDENTIALS: &str = "push.fcm_credentials";
const FCM_URL: &str = "push.fcm_url";

/// A shorter one could be guessed.
const MIN_SECRET: usize = 32;

/// Its keys.
pub const KEYS: &[Key] = &[
    // Never shown: many hooks have a token in their address.
    Key::secret(
        WEBHOOK_URL,
        "where pushes are posted to, http:// or https://; push needs this or push.fcm_credentials",
    ),
    Key::secret(
        WEBHOOK_SECRET,
        "what posted pushes are signed with, at least 32 bytes",
    ),
    Key::bare(
        FCM_CREDENTIALS,
        "file with the key of the service account that pushes through FCM",
    ),
    Key::new(
        FCM_URL,
        "https://fcm.googleapis.com",
        "where FCM is; another address is a proxy or a test",
    ),
    Key::new(
        "push.wait",
        "3s",
        "how long somebody may take to come back before being pushed",
    ),
    Key::new(
        "push.timeout",
        "10s",
        "how long a request may take: to the webhook, to FCM, or for access to FCM",
    ),
    Key::new(
        "push.give_up",
        "10m",
        "how long a push is tried before it goes to chat-dlq",
    ),
    Key::new(
        "push.concurrency",
        "16",
        "users who are told at once, each by the webhook and all devices",
    ),
    Key::new(
        "push.queue",
        "10000",
        "pushes that may wait in memory; more wait in Kafka",
    ),
    Key::new(
        "push.batch",
        "50",
        "the most pushes of one user that are told together",
    ),
];

/// How people who are not connected are told.
#[derive(Debug, Clone)]
pub struct PushSettings {
    /// A webhook.
    pub webhook: Option<WebhookSettings>,
    /// Firebase Cloud Messaging.
    pub fcm: Option<FcmSettings>,
    /// From the record's time to the last look at the routes.
    pub wait: Duration,
    /// Of one request: to the webhook, to FCM, or for access to FCM.
    pub timeout: Duration,
    /// From the first try of a push to the end of the last one.
    pub give_up: Duration,
    /// Users told at once, each by the webhook and all devices.
    pub concurrency: usize,
    /// Pushes in memory.
    pub queue: usize,
    /// Pushes of one user told together.
    pub batch: usize,
}

/// A webhook.
#[derive(Clone)]
pub struct WebhookSettings {
    /// Where to.
    pub url: Url,
    /// Signs it.
    pub secret: Secret,
}

// The URL may hold a token, and the secret is one.
impl fmt::Debug for WebhookSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSettings").finish_non_exhaustive()
    }
}

/// Firebase Cloud Messaging.
#[derive(Debug, Clone)]
pub struct FcmSettings {
    /// Where the key is. It is read when `push` starts: only there it must be.
    pub credentials: PathBuf,
    /// Where FCM is.
    pub url: Url,
}

impl PushSettings {
    /// Reads them, noting every mistake.
    pub fn read(values: &mut Values) -> Self {
        let second = Duration::from_secs(1);
        Self {
            webhook: webhook(values),
            fcm: fcm(values),
            wait: values.within("push.wait", Duration::ZERO..=60 * second),
            timeout: values.within("push.timeout", second / 10..=60 * second),
            give_up: values.within("push.give_up", second..=24 * 3_600 * second),
            concurrency: values.within("push.concurrency", 1..=1_000),
            queue: values.within("push.queue", 1..=1_000_000),
            batch: values.within("push.batch", 1..=1_000),
        }
    }
}

fn webhook(values: &mut Values) -> Option<WebhookSettings> {
    let secret: Option<Secret> = values.optional(WEBHOOK_SECRET);
    let short = |secret: &Secret| secret.expose().len() < MIN_SECRET;
    if secret.as_ref().is_some_and(short) {
        values.mistake(WEBHOOK_SECRET, "must have at least 32 bytes");
    }
    let url = values.optional::<String>(WEBHOOK_URL)?;
    if secret.is_none() {
        values.mistake(WEBHOOK_SECRET, &format!("must be given with {WEBHOOK_URL}"));
    }
    Some(WebhookSettings {
        url: address(values, WEBHOOK_URL, &url)?,
        secret: secret?,
    })
}

fn fcm(values: &mut Values) -> Option<FcmSettings> {
    let url = values.get::<String>(FCM_URL);
    let url = address(values, FCM_URL, &url);
    Some(FcmSettings {
        credentials: values.optional(FCM_CREDENTIALS)?,
        url: url?,
    })
}

fn address(values: &mut Values, name: &str, text: &str) -> Option<Url> {
    let url = Url::parse(text).ok();
    let url = url.filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    if url.is_none() {
        values.mistake(name, "expected http://host… or https://host…");
    }
    url
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    const LONG: &str = "0123456789abcdef0123456789abcdef";

    fn read(args: &[&str]) -> Result<PushSettings, String> {
        let args = args.iter().map(OsString::from);
        let mut values = Values::load_from(&[KEYS], &[], args, []);
        let settings = PushSettings::read(&mut values);
        let finished = values.finish().map_err(|mistakes| mistakes.to_string());
        finished.map(|()| settings)
    }

    fn hook<'a>(url: &'a str, secret: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let mut args = vec!["--push-webhook-url", url, "--push-webhook-secret", secret];
        args.extend(more);
        args
    }

    #[test]
    fn every_mistake_is_named_and_nothing_secret_is_shown() {
        let token = "hooks.example/T0KEN";
        let more = [
            "--push-queue",
            "0",
            "--push-wait",
            "2m",
            "--push-fcm-url",
            "fcm",
        ];
        let told = read(&hook(token, "hidden", &more)).unwrap_err();
        for name in [
            WEBHOOK_URL,
            WEBHOOK_SECRET,
            "push.queue",
            "push.wait",
            FCM_URL,
        ] {
            assert!(told.contains(name), "{name} is not in:\n{told}");
        }
        for secret in ["T0KEN", "hidden"] {
            assert!(!told.contains(secret), "{secret} is in:\n{told}");
        }
        let settings = read(&hook("https://hooks.example/T0KEN", LONG, &[])).unwrap();
        let shown = format!("{settings:?}");
        assert!(!shown.contains("T0KEN") && !shown.contains(LONG), "{shown}");
    }

    /// `serve` runs without any; `push` may have both.
    #[test]
    fn there_may_be_a_webhook_and_fcm_or_either() {
        let there = |args: &[&str]| {
            let settings = read(args).unwrap();
            (settings.webhook.is_some(), settings.fcm.is_some())
        };
        let fcm = ["--push-fcm-credentials", "/run/key.json"];
        let url = "https://hooks.example";
        assert_eq!(there(&[]), (false, false));
        assert_eq!(there(&hook("", "", &[])), (false, false));
        assert_eq!(there(&hook("", LONG, &[])), (false, false));
        assert_eq!(there(&hook(url, LONG, &[])), (true, false));
        assert_eq!(there(&fcm), (false, true));
        assert_eq!(there(&hook(url, LONG, &fcm)), (true, true));
        let told = read(&hook(url, "", &[])).unwrap_err();
        assert!(told.contains(WEBHOOK_SECRET), "{told}");
    }
}
