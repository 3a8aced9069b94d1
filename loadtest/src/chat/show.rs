//! How entries of a room's log are shown. Pure.

use std::collections::HashMap;

use client::{Entry, Message, RoomEvent};
use protocol::{EventKind, UserId};

/// Names as far as known.
pub(crate) type Names = HashMap<UserId, String>;

pub(crate) fn name(names: &Names, user: UserId) -> String {
    names
        .get(&user)
        .cloned()
        .unwrap_or_else(|| format!("user {user}"))
}

/// `14:03:22 bob: hello`; the time is UTC, as the servers tell it.
pub(crate) fn message(names: &Names, message: &Message) -> String {
    let clock = message.at.get(11..19).unwrap_or(&message.at);
    let who = name(names, message.from);
    match (message.deleted, message.edited) {
        (Some(_), _) => format!("{clock} {who}: (deleted)"),
        (None, Some(_)) => format!("{clock} {who}: {} (edited)", safe(&message.body)),
        (None, None) => format!("{clock} {who}: {}", safe(&message.body)),
    }
}

pub(crate) fn event(names: &Names, event: &RoomEvent) -> String {
    let who = name(names, event.from);
    let what = match &event.kind {
        EventKind::Created { .. } => format!("{who} made this room"),
        EventKind::Message { body, .. } => safe(body),
        EventKind::Edited { target, body } => format!("{who} edited #{target}: {}", safe(body)),
        EventKind::Deleted { target } => format!("{who} deleted #{target}"),
        EventKind::MemberAdded { user } => format!("{who} added {}", name(names, *user)),
        EventKind::MemberRemoved { user, .. } if *user == event.from => format!("{who} left"),
        EventKind::MemberRemoved { user, .. } => format!("{who} removed {}", name(names, *user)),
        EventKind::RoleChanged { user, role } => {
            format!("{who} made {} {}", name(names, *user), role.as_str())
        }
        EventKind::Renamed { name } => format!("{who} named the room {}", safe(name)),
        EventKind::RoomDeleted => format!("{who} deleted the room"),
    };
    format!("-- {what}")
}

pub(crate) fn entry(names: &Names, entry: &Entry) -> String {
    match entry {
        Entry::Message(one) => message(names, one),
        Entry::Room(one) => event(names, one),
    }
}

/// What others wrote must not steer this terminal.
pub(crate) fn safe(text: &str) -> String {
    text.chars()
        .map(|one| {
            if one.is_control() && one != '\n' {
                '\u{FFFD}'
            } else {
                one
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_with_names_and_without_control_characters() {
        let bob = UserId::new(2).unwrap();
        let text = r#"{"type":"message","room":1,"seq":2,"id":"00000000-0000-0000-0000-000000000009","from":2,
            "body":"a\u001b[2Jb","at":"1970-01-01T14:03:22.000Z"}"#;
        let Entry::Message(one) = serde_json::from_str(text).unwrap() else {
            panic!("no message")
        };
        assert_eq!(
            message(&Names::from([(bob, "bob".to_owned())]), &one),
            "14:03:22 bob: a\u{FFFD}[2Jb"
        );
        assert!(message(&Names::new(), &one).contains("user 2"));
    }
}
