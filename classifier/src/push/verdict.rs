//! What became of one request to whoever is told.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    /// The webhook.
    Webhook,
    /// Firebase Cloud Messaging.
    Fcm,
}

impl To {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::Webhook, Self::Fcm];

    /// Its label in metrics and logs.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Fcm => "fcm",
        }
    }
}

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was taken.
    Taken,
    /// Whom it was for is there no more.
    Gone,
    /// It may be taken another time.
    Again {
        /// Why not now.
        why: String,
        /// The earliest time for it, if the other side says.
        asked: Option<Duration>,
    },
    /// It will never be taken.
    Refused {
        /// Why not.
        why: String,
    },
}

impl Verdict {
    /// Every value of [`Verdict::label`].
    pub(super) const LABELS: &[&str] = &["taken", "gone", "again", "refused"];

    /// Its label in metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Gone => "gone",
            Self::Again { .. } => "again",
            Self::Refused { .. } => "refused",
        }
    }

    /// To be tried again, at no certain time.
    pub(super) fn again(why: impl Into<String>) -> Self {
        Self::Again {
            why: why.into(),
            asked: None,
        }
    }
}

/// When the other side wants to be asked again, if it says so in seconds.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}
