//! The subcommands that only this program has.

use service::program::{CommandOption, Given, Subcommand};

use crate::operator::{Form, MAX_LETTERS, Order};
use crate::push::{FCM_CREDENTIALS, WEBHOOK_URL};

/// What one of them asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Answer, and end.
    Ask(Order),
    /// Tell people who are not connected, until asked to stop.
    Push,
}

/// What `dlq list` shows if it is not told how many.
const LETTERS: usize = 20;

const JSON: CommandOption = CommandOption {
    name: "--json",
    value: None,
};
const LIMIT: CommandOption = valued("--limit", "N");
const PARTITION: CommandOption = valued("--partition", "P");
const OFFSET: CommandOption = valued("--offset", "O");

/// All of them.
pub const SUBCOMMANDS: &[Subcommand<Command>] = &[
    Subcommand {
        words: &["lanes"],
        options: &[JSON],
        needs_one_of: &[],
        about: "who owns which lane, and how far it is",
        read: |given| Command::Ask(Order::Lanes(form(given))),
    },
    Subcommand {
        words: &["homes"],
        options: &[JSON],
        needs_one_of: &[],
        about: "who owns which home, and how far it is read",
        read: |given| Command::Ask(Order::Homes(form(given))),
    },
    Subcommand {
        words: &["dlq", "list"],
        options: &[LIMIT, JSON],
        needs_one_of: &[],
        about: "the newest records of chat-dlq, 20 if not told how many",
        read: letters,
    },
    Subcommand {
        words: &["dlq", "replay"],
        options: &[PARTITION, OFFSET],
        needs_one_of: &[],
        about: "send a record of chat-dlq back to the topic that it came from",
        read: replay,
    },
    Subcommand {
        words: &["push"],
        options: &[],
        needs_one_of: &[WEBHOOK_URL, FCM_CREDENTIALS],
        about: "tell people who are not connected, through a webhook or FCM, until SIGTERM or SIGINT",
        read: |_| Command::Push,
    },
];

const fn valued(name: &'static str, value: &'static str) -> CommandOption {
    CommandOption {
        name,
        value: Some(value),
    }
}

fn form(given: &Given) -> Form {
    match given.has(JSON.name) {
        true => Form::Json,
        false => Form::Table,
    }
}

fn letters(given: &mut Given) -> Command {
    let limit = given.get(LIMIT.name).unwrap_or(LETTERS);
    if !(1..=MAX_LETTERS).contains(&limit) {
        given.mistake(format!("{} must be in 1..={MAX_LETTERS}", LIMIT.name));
    }
    let form = form(given);
    Command::Ask(Order::Letters { limit, form })
}

fn replay(given: &mut Given) -> Command {
    Command::Ask(Order::Replay {
        partition: given.must(PARTITION.name),
        offset: given.must(OFFSET.name),
    })
}
