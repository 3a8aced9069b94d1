//! Devices that can be pushed: an installation of an app, and the token that FCM knows it by.

use serde::{Deserialize, Serialize};

use crate::UnknownWord;

/// Longer ones are not FCM's: theirs have some 150 characters.
const MAX_TOKEN_BYTES: usize = 1_024;

/// What an installation runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// An Android app.
    Android,
    /// An app on iOS or another system of Apple's.
    Ios,
    /// A page in a browser.
    Web,
}

impl Platform {
    /// As it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Android => "android",
            Self::Ios => "ios",
            Self::Web => "web",
        }
    }
}

impl std::str::FromStr for Platform {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text {
            "android" => Ok(Self::Android),
            "ios" => Ok(Self::Ios),
            "web" => Ok(Self::Web),
            _ => Err(UnknownWord(text.to_owned())),
        }
    }
}

/// A device's registration token. Who has it can push to the device: it has no `Debug` and no
/// `Display`, so that it can't be logged by accident.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct DeviceToken(String);

/// Why a text is not a registration token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a token has 1 to {MAX_TOKEN_BYTES} characters of ASCII, without spaces")]
pub struct NoToken;

impl DeviceToken {
    /// The token, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DeviceToken {
    type Error = NoToken;
    fn try_from(text: String) -> Result<Self, NoToken> {
        let fits = (1..=MAX_TOKEN_BYTES).contains(&text.len());
        match fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Self(text)),
            false => Err(NoToken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_stored_as_they_are_sent() {
        for platform in [Platform::Android, Platform::Ios, Platform::Web] {
            assert_eq!(platform.as_str().parse(), Ok(platform));
            let json = serde_json::to_string(&platform).unwrap();
            assert_eq!(json, format!("\"{}\"", platform.as_str()));
        }
        assert!("Android".parse::<Platform>().is_err());
    }

    #[test]
    fn a_token_is_short_and_plain() {
        let token = |text: &str| DeviceToken::try_from(text.to_owned());
        let longest = "x".repeat(MAX_TOKEN_BYTES);
        for good in ["a", "dQw4:APA91b_-", &longest] {
            assert_eq!(
                token(good).map(|token| token.expose().len()),
                Ok(good.len())
            );
        }
        for bad in ["", "a b", "a\n", "a\0", "é", &format!("{longest}x")] {
            assert_eq!(token(bad).err(), Some(NoToken), "{bad:?}");
        }
    }
}
