//! How a setting's text becomes a domain type.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::Secret;

/// A type that a setting can have.
pub trait Setting: Sized {
    /// Reads the text. The message says what is expected; it must not repeat the text, which may
    /// be secret.
    fn parse(text: &str) -> Result<Self, String>;

    /// What stands in after a mistake, so that reading can go on and find the next one. It is
    /// never used: `finish` fails.
    fn placeholder() -> Self;
}

macro_rules! from_str {
    ($($type:ty, $expected:literal, $placeholder:expr;)+) => {$(
        impl Setting for $type {
            fn parse(text: &str) -> Result<Self, String> {
                text.trim().parse().map_err(|_| $expected.to_owned())
            }
            fn placeholder() -> Self {
                $placeholder
            }
        }
    )+};
}

from_str! {
    u16, "expected an integer from 0 to 65535", 1;
    u32, "expected an integer, 0 or more", 1;
    u64, "expected an integer, 0 or more", 1;
    usize, "expected an integer, 0 or more", 1;
    i32, "expected an integer", 1;
    i64, "expected an integer", 1;
    f64, "expected a number", 1.0;
    bool, "expected true or false", false;
    SocketAddr, "expected an address and a port, as 127.0.0.1:8080", SocketAddr::from(([127, 0, 0, 1], 0));
}

impl Setting for String {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
    fn placeholder() -> Self {
        Self::new()
    }
}

impl Setting for Secret {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self::new(text))
    }
    fn placeholder() -> Self {
        Self::new("")
    }
}

impl Setting for PathBuf {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self::from(text))
    }
    fn placeholder() -> Self {
        Self::new()
    }
}

impl Setting for Duration {
    fn parse(text: &str) -> Result<Self, String> {
        parse_duration(text.trim())
            .ok_or_else(|| "expected a duration with its unit, as 250ms, 5s, 2m or 1h".to_owned())
    }
    fn placeholder() -> Self {
        Self::from_secs(1)
    }
}

/// `0` needs no unit; everything else does: a bare `5` was a second to one and a millisecond to
/// the other.
fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let number: f64 = number.trim().parse().ok()?;
    let seconds = match unit {
        "ms" => number / 1_000.0,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3_600.0,
        "d" => number * 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, expected) in [
            ("250ms", Some(Duration::from_millis(250))),
            ("5s", Some(Duration::from_secs(5))),
            ("1.5s", Some(Duration::from_millis(1_500))),
            ("2 m", Some(Duration::from_secs(120))),
            ("1h", Some(Duration::from_secs(3_600))),
            ("0", Some(Duration::ZERO)),
            ("5", None),
            ("-5s", None),
            ("s", None),
            ("5 parsecs", None),
            ("", None),
        ] {
            assert_eq!(Duration::parse(text).ok(), expected, "{text:?}");
        }
    }
}
