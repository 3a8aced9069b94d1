//! The subcommands that only this program has.

use service::program::{CommandOption, Given, Subcommand};

use crate::operator::{Form, MAX_LETTERS, Order};

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
pub const SUBCOMMANDS: &[Subcommand<Order>] = &[
    Subcommand {
        words: &["lanes"],
        options: &[JSON],
        needs: &[],
        about: "who owns which lane, and how far it is",
        read: |given| Order::Lanes(form(given)),
    },
    Subcommand {
        words: &["homes"],
        options: &[JSON],
        needs: &[],
        about: "who owns which home, and how far it is read",
        read: |given| Order::Homes(form(given)),
    },
    Subcommand {
        words: &["dlq", "list"],
        options: &[LIMIT, JSON],
        needs: &[],
        about: "the newest records of chat-dlq, 20 if not told how many",
        read: letters,
    },
    Subcommand {
        words: &["dlq", "replay"],
        options: &[PARTITION, OFFSET],
        needs: &[],
        about: "send a record of chat-dlq back to the topic that it came from",
        read: |given| Order::Replay {
            partition: given.must(PARTITION.name),
            offset: given.must(OFFSET.name),
        },
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

fn letters(given: &mut Given) -> Order {
    let limit = given.get(LIMIT.name).unwrap_or(LETTERS);
    if !(1..=MAX_LETTERS).contains(&limit) {
        given.mistake(format!("{} must be in 1..={MAX_LETTERS}", LIMIT.name));
    }
    let form = form(given);
    Order::Letters { limit, form }
}
