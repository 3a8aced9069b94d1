//! What a body and a name may be.

/// The most Unicode scalar values in a body.
pub const MAX_BODY_CHARS: usize = 100_000;
/// The most bytes of UTF-8 in a body.
pub const MAX_BODY_BYTES: usize = 400_000;
/// The most Unicode scalar values in a room's or user's name.
const MAX_NAME_CHARS: usize = 200;

/// Why a body or name can't be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Nothing to say.
    #[error("the {0} is empty")]
    Empty(&'static str),
    /// Over a limit.
    #[error("the {what} has more than {limit} {unit}")]
    TooLong {
        /// `body` or `name`.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// `characters` or `bytes`.
        unit: &'static str,
    },
    /// Postgres can't store U+0000, though JSON can carry it (trap 12).
    #[error("the {0} holds the character U+0000, which can't be stored")]
    Nul(&'static str),
}

/// Checks a message's body: not empty, at most [`MAX_BODY_CHARS`] and [`MAX_BODY_BYTES`], no U+0000.
pub fn check_body(body: &str) -> Result<(), BodyError> {
    check("body", body, MAX_BODY_CHARS)?;
    if body.len() > MAX_BODY_BYTES {
        return Err(BodyError::TooLong {
            what: "body",
            limit: MAX_BODY_BYTES,
            unit: "bytes",
        });
    }
    Ok(())
}

/// Checks a name: 1 to 200 characters, no U+0000.
pub fn check_name(name: &str) -> Result<(), BodyError> {
    check("name", name, MAX_NAME_CHARS)
}

/// Checks that a direct room has no name: nobody sees it, and unchecked it could be of any size.
pub(crate) fn check_no_name(name: &str) -> Result<(), BodyError> {
    match name {
        "" => Ok(()),
        name => check("name", name, 0),
    }
}

fn check(what: &'static str, text: &str, limit: usize) -> Result<(), BodyError> {
    if text.is_empty() {
        return Err(BodyError::Empty(what));
    }
    // Fewer bytes than the limit can't be more characters: most texts are not counted at all.
    if text.len() > limit && text.chars().count() > limit {
        return Err(BodyError::TooLong {
            what,
            limit,
            unit: "characters",
        });
    }
    if text.as_bytes().contains(&0) {
        return Err(BodyError::Nul(what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_exact() {
        assert!(check_body(&"x".repeat(MAX_BODY_CHARS)).is_ok());
        assert!(check_body(&"x".repeat(MAX_BODY_CHARS + 1)).is_err());
        assert!(check_body(&"𝄞".repeat(MAX_BODY_CHARS)).is_ok());
        assert!(check_body("").is_err());
    }

    /// Trap 12.
    #[test]
    fn a_nul_is_refused_at_the_door() {
        assert_eq!(check_body("a\0b"), Err(BodyError::Nul("body")));
    }
}
