//! What a typed line means. Pure.

use protocol::RoomId;

/// What somebody typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// Nothing.
    Empty,
    /// Say it in the current room.
    Say(String),
    /// Go to a room.
    Room(RoomId),
    /// Go to the direct room with that user.
    With(String),
    /// Make a group with these users and go there.
    Group {
        /// Its name.
        name: String,
        /// Its other members, by name.
        users: Vec<String>,
    },
    /// List the rooms.
    Rooms,
    /// Who is in the current room.
    Who,
    /// Say what can be typed.
    Help,
    /// End.
    Quit,
    /// Not understood, with the reason.
    Mistake(String),
}

pub(crate) const HELP: &str = "\
Type a line to say it. Or:
  /rooms             your rooms
  /room N            go to room N
  /with NAME         go to the direct room with NAME
  /group NAME USER…  make a group with these users and go there
  /who               who is in this room
  /quit              end (Ctrl-D too)
A line that begins with // is said with one /.";

impl Line {
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.trim_end();
        if text.is_empty() {
            return Self::Empty;
        }
        let Some(command) = text.strip_prefix('/') else {
            return Self::Say(text.to_owned());
        };
        if command.starts_with('/') {
            return Self::Say(command.to_owned());
        }
        let mut words = command.split_whitespace().map(str::to_owned);
        match (words.next().as_deref(), words.next()) {
            (Some("rooms"), None) => Self::Rooms,
            (Some("who"), None) => Self::Who,
            (Some("help"), _) => Self::Help,
            (Some("quit"), None) => Self::Quit,
            (Some("with"), Some(name)) => Self::With(name),
            (Some("room"), Some(id)) => id
                .parse()
                .map_or_else(|_| Self::Mistake(format!("{id} is no room")), Self::Room),
            (Some("group"), Some(name)) => Self::Group {
                name,
                users: words.collect(),
            },
            _ => Self::Mistake(format!("{text}: not understood; /help says what is")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert_eq!(Line::parse("  \n"), Line::Empty);
        assert_eq!(
            Line::parse("hello /all\n"),
            Line::Say("hello /all".to_owned())
        );
        assert_eq!(Line::parse("//shrug"), Line::Say("/shrug".to_owned()));
        assert_eq!(Line::parse("/room 7"), Line::Room(RoomId::new(7).unwrap()));
        assert!(matches!(Line::parse("/room x"), Line::Mistake(_)));
        assert!(matches!(Line::parse("/dance"), Line::Mistake(_)));
        let users = vec!["bob".to_owned(), "cleo".to_owned()];
        assert_eq!(
            Line::parse("/group team bob cleo"),
            Line::Group {
                name: "team".to_owned(),
                users
            }
        );
    }
}
