//! Settings of `classifier push`.

use std::fmt;
use std::time::Duration;

use reqwest::Url;
use service::settings::{Key, Secret, Values};

/// Where pushes go; `push` does not run without.
pub const WEBHOOK_URL: &str = "push.webhook_url";
/// What they are signed with; the same.
pub const WEBHOOK_SECRET: &str = "push.webhook_secret";

/// A shorter one could be guessed.
const MIN_SECRET: usize = 32;

/// Its keys.
pub const KEYS: &[Key] = &[
    // Never shown: many hooks have a token in their address.
    Key::secret(
        WEBHOOK_URL,
        "where pushes are posted to, http:// or https://; needed by push only",
    ),
    Key::secret(
        WEBHOOK_SECRET,
        "what pushes are signed with, at least 32 bytes; needed by push only",
    ),
    Key::new(
        "push.wait",
        "3s",
        "how long somebody may take to come back before being pushed",
    ),
    Key::new(
        "push.timeout",
        "10s",
        "how long the webhook may take to answer",
    ),
    Key::new(
        "push.give_up",
        "10m",
        "how long a push is tried before it goes to chat-dlq",
    ),
    Key::new(
        "push.concurrency",
        "16",
        "requests to the webhook that are under way at once",
    ),
    Key::new(
        "push.queue",
        "10000",
        "pushes that may wait in memory; more wait in Kafka",
    ),
    Key::new("push.batch", "50", "the most pushes in one request"),
];

/// How people who are not connected are told.
#[derive(Clone)]
pub struct PushSettings {
    /// Where to.
    pub url: Url,
    /// Signs it.
    pub secret: Secret,
    /// From the record's time to the last look at the routes.
    pub wait: Duration,
    /// Of one request.
    pub timeout: Duration,
    /// From the first try of a push to the end of the last one.
    pub give_up: Duration,
    /// Requests at once.
    pub concurrency: usize,
    /// Pushes in memory.
    pub queue: usize,
    /// Pushes in one request.
    pub batch: usize,
}

// The URL may hold a token, and the secret is one.
impl fmt::Debug for PushSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushSettings")
            .field("wait", &self.wait)
            .field("give_up", &self.give_up)
            .finish_non_exhaustive()
    }
}

impl PushSettings {
    /// Reads them, noting every mistake; none if there is no webhook.
    pub fn read(values: &mut Values) -> Option<Self> {
        let second = Duration::from_secs(1);
        let wait = values.within("push.wait", Duration::ZERO..=60 * second);
        let timeout = values.within("push.timeout", second / 10..=60 * second);
        let give_up = values.within("push.give_up", second..=24 * 3_600 * second);
        let concurrency = values.within("push.concurrency", 1..=1_000);
        let queue = values.within("push.queue", 1..=1_000_000);
        let batch = values.within("push.batch", 1..=1_000);
        let secret: Option<Secret> = values.optional(WEBHOOK_SECRET);
        if secret
            .as_ref()
            .is_some_and(|secret| secret.expose().len() < MIN_SECRET)
        {
            values.mistake(WEBHOOK_SECRET, "must have at least 32 bytes");
        }
        let url = values.optional::<String>(WEBHOOK_URL)?;
        let url = Url::parse(&url).ok();
        let url = url.filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        if url.is_none() {
            values.mistake(WEBHOOK_URL, "expected http://host… or https://host…");
        }
        Some(Self {
            url: url?,
            secret: secret?,
            wait,
            timeout,
            give_up,
            concurrency,
            queue,
            batch,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    const LONG: &str = "0123456789abcdef0123456789abcdef";

    fn read(url: &str, secret: &str, more: &[&str]) -> Result<Option<PushSettings>, String> {
        let args = ["--push-webhook-url", url, "--push-webhook-secret", secret];
        let args = args.iter().chain(more).map(OsString::from);
        let mut values = Values::load_from(&[KEYS], &[], args, []);
        let settings = PushSettings::read(&mut values);
        let finished = values.finish().map_err(|mistakes| mistakes.to_string());
        finished.map(|()| settings)
    }

    #[test]
    fn every_mistake_is_named_and_nothing_secret_is_shown() {
        let token = "hooks.example/T0KEN";
        let more = ["--push-queue", "0", "--push-wait", "2m"];
        let told = read(token, "hidden", &more).unwrap_err();
        for name in [WEBHOOK_URL, WEBHOOK_SECRET, "push.queue", "push.wait"] {
            assert!(told.contains(name), "{name} is not in:\n{told}");
        }
        for secret in ["T0KEN", "hidden"] {
            assert!(!told.contains(secret), "{secret} is in:\n{told}");
        }
        let settings = read("https://hooks.example/T0KEN", LONG, &[]).unwrap();
        let shown = format!("{:?}", settings.unwrap());
        assert!(!shown.contains("T0KEN") && !shown.contains(LONG), "{shown}");
    }

    /// `serve` runs without a webhook.
    #[test]
    fn without_a_webhook_there_is_none() {
        assert!(read("", "", &[]).unwrap().is_none());
        assert!(read("", LONG, &[]).unwrap().is_none());
    }
}
