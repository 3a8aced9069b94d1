//! What became of one request to whoever is told.

use std::time::{Duration, UNIX_EPOCH};

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

/// When the other side wants to be asked again, if it says so: in seconds, or as a date, which is told
/// by our own clock, in ms since 1970 (RFC 9110 §10.2.3).
pub(super) fn retry_after(headers: &HeaderMap, now_ms: i64) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    let now = UNIX_EPOCH + Duration::from_millis(u64::try_from(now_ms).ok()?);
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both forms of it; a date that has passed asks for nothing more.
    #[test]
    fn a_pause_is_asked_for_in_seconds_or_until_a_date() {
        let now_ms = 784_111_777_500; // half a second after that second
        let asked = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            retry_after(&headers, now_ms)
        };
        assert_eq!(asked(" 120 "), Some(Duration::from_secs(120)));
        let date = "Sun, 06 Nov 1994 08:50:37 GMT";
        assert_eq!(asked(date), Some(Duration::from_millis(59_500)));
        let passed = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(asked(passed), Some(Duration::ZERO));
        assert_eq!(asked("soon"), None);
        assert_eq!(asked("-5"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now_ms), None);
    }
}
