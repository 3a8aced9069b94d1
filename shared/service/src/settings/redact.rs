//! What may be shown of a text that may hold a password.

/// The text with every password in it replaced by `***`: the one in a URL
/// (`scheme://user:password@host`), and those given as `password=…`, in a URL's query or in a
/// list of `key=value`.
pub fn redacted(text: &str) -> String {
    let text = without_url_password(text);
    without_named_password(&text)
}

fn without_url_password(text: &str) -> String {
    let Some(scheme_end) = text.find("://").map(|at| at + 3) else {
        return text.to_owned();
    };
    let rest = &text[scheme_end..];
    // A password may itself hold an '@': the host starts behind the last one before the path.
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let at = match rest[..authority_end].rfind('@') {
        Some(at) => at,
        // A '/' in a password is no valid URL, but it is still a password.
        None => match rest.rfind('@') {
            Some(at) => at,
            None => return text.to_owned(),
        },
    };
    match rest[..at].find(':') {
        Some(colon) => format!(
            "{}{}:***{}",
            &text[..scheme_end],
            &rest[..colon],
            &rest[at..]
        ),
        None => text.to_owned(),
    }
}

fn without_named_password(text: &str) -> String {
    const NAME: &str = "password=";
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.to_ascii_lowercase().find(NAME) {
        let value = at + NAME.len();
        shown.push_str(&rest[..value]);
        shown.push_str("***");
        let after = &rest[value..];
        let end = if let Some(quoted) = after.strip_prefix('\'') {
            quoted.find('\'').map_or(after.len(), |end| end + 2)
        } else {
            after.find([' ', '&', ';']).unwrap_or(after.len())
        };
        rest = &after[end..];
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::redacted;

    #[test]
    fn no_form_of_a_password_is_shown() {
        for (text, shown) in [
            ("postgres://ann:pw@db/chat", "postgres://ann:***@db/chat"),
            ("postgres://ann:p@w@db/chat", "postgres://ann:***@db/chat"),
            ("postgres://ann:p/w@db/chat", "postgres://ann:***@db/chat"),
            ("redis://:pw@cache:6379", "redis://:***@cache:6379"),
            ("postgres://ann@db/chat", "postgres://ann@db/chat"),
            ("redis://cache/0?x=a@b", "redis://cache/0?x=a@b"),
            ("host=db password=pw user=a", "host=db password=*** user=a"),
            ("host=db password='p w' u=a", "host=db password=*** u=a"),
            (
                "postgres://db/c?Password=pw&x=1",
                "postgres://db/c?Password=***&x=1",
            ),
            ("127.0.0.1:9092", "127.0.0.1:9092"),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }
}
