//! Subcommands that only one program has, with words and options of their own.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use crate::settings::Setting;

/// A subcommand of one program; `C` is what it is read as.
#[derive(Debug)]
pub struct Subcommand<C> {
    /// Its words, as they stand before everything else: `&["dlq", "list"]`.
    pub words: &'static [&'static str],
    /// Its options. They are no settings: neither the file nor the environment has them.
    pub options: &'static [CommandOption],
    /// Settings of which one at least must be given for it, though the program does without them
    /// otherwise; none: it needs none.
    pub needs_one_of: &'static [&'static str],
    /// What it does, in a line.
    pub about: &'static str,
    /// Reads its options, noting every mistake.
    pub read: fn(&mut Given) -> C,
}

/// An option of a subcommand.
#[derive(Debug, Clone, Copy)]
pub struct CommandOption {
    /// Its name with the dashes: `--limit`.
    pub name: &'static str,
    /// What stands for its value in the help; none if it has no value.
    pub value: Option<&'static str>,
}

/// The options that were given to a subcommand, and what is wrong with them so far.
#[derive(Debug, Default)]
pub struct Given {
    found: BTreeMap<&'static str, String>,
    mistakes: Vec<String>,
}

impl Given {
    /// Takes a subcommand's options out of its arguments; the others are settings.
    pub(super) fn take(
        options: &[CommandOption],
        args: impl IntoIterator<Item = OsString>,
    ) -> (Self, Vec<OsString>) {
        let (mut given, mut others) = (Self::default(), Vec::new());
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let text = arg.to_str().unwrap_or_default();
            let (name, inline) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (text, None),
            };
            let Some(option) = options.iter().find(|option| option.name == name) else {
                others.push(arg);
                continue;
            };
            let value = match option.value {
                None if inline.is_some() => {
                    given.mistakes.push(format!("{name} takes no value"));
                    continue;
                }
                None => Some(String::new()),
                Some(_) => inline.or_else(|| args.next().and_then(|arg| arg.into_string().ok())),
            };
            match value {
                Some(value) => drop(given.found.insert(option.name, value)),
                None => given.mistakes.push(format!("{name} has no value")),
            }
        }
        (given, others)
    }

    /// Whether the option was given.
    pub fn has(&self, name: &str) -> bool {
        self.found.contains_key(name)
    }

    /// The option's value, if it was given. A mistake is noted; then the command is never run.
    pub fn get<T: Setting>(&mut self, name: &str) -> Option<T> {
        let text = self.found.get(name)?;
        match T::parse(text) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.mistakes.push(format!("{name} {text:?}: {expected}"));
                None
            }
        }
    }

    /// As [`Given::get`], of an option that must be given.
    pub fn must<T: Setting>(&mut self, name: &str) -> T {
        if !self.has(name) {
            self.mistakes.push(format!("{name} is missing"));
        }
        self.get(name).unwrap_or_else(T::placeholder)
    }

    /// Notes that a value does not fit, for rules that a type alone can't tell.
    pub fn mistake(&mut self, message: impl Into<String>) {
        self.mistakes.push(message.into());
    }

    pub(super) fn mistakes(&self) -> &[String] {
        &self.mistakes
    }
}

impl<C> Subcommand<C> {
    /// Whether these arguments begin with its words.
    pub(super) fn is_asked(&self, args: &[OsString]) -> bool {
        let begun = args.iter().map(|arg| Some(arg.as_os_str()));
        let words = self.words.iter().map(|word| Some(OsStr::new(*word)));
        begun
            .chain(std::iter::repeat(None))
            .zip(words)
            .all(|(arg, word)| arg == word)
    }

    /// Its line of the help.
    pub(super) fn help(&self) -> String {
        let mut usage = self.words.join(" ");
        for option in self.options {
            usage.push(' ');
            usage.push_str(option.name);
            if let Some(value) = option.value {
                usage.push(' ');
                usage.push_str(value);
            }
        }
        format!("  {usage}\n                {}\n", self.about)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLAY: Subcommand<(i32, bool)> = Subcommand {
        words: &["dlq", "replay"],
        options: &[
            CommandOption {
                name: "--partition",
                value: Some("P"),
            },
            CommandOption {
                name: "--json",
                value: None,
            },
        ],
        needs_one_of: &[],
        about: "",
        read: |given| (given.must("--partition"), given.has("--json")),
    };

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    fn read(args: &[&str]) -> ((i32, bool), Vec<OsString>, Vec<String>) {
        let (mut given, others) = Given::take(REPLAY.options, words(args));
        let read = (REPLAY.read)(&mut given);
        (read, others, given.mistakes)
    }

    #[test]
    fn all_its_words_must_be_there() {
        assert!(REPLAY.is_asked(&words(&["dlq", "replay", "--json"])));
        for other in [&["dlq"][..], &["dlq", "list"], &["serve"], &[]] {
            assert!(!REPLAY.is_asked(&words(other)), "{other:?}");
        }
    }

    #[test]
    fn its_options_are_taken_and_settings_are_left() {
        let (read, others, mistakes) =
            read(&["--json", "--log-level", "warn", "--partition", "2", "--x=1"]);
        assert_eq!(read, (2, true));
        assert_eq!(others, words(&["--log-level", "warn", "--x=1"]));
        assert!(mistakes.is_empty(), "{mistakes:?}");
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (args, told) in [
            (&[][..], "--partition is missing"),
            (&["--partition"], "--partition has no value"),
            (&["--partition=x"], "expected an integer"),
            (&["--partition=1", "--json=yes"], "--json takes no value"),
        ] {
            let (_, _, mistakes) = read(args);
            assert!(mistakes.join("\n").contains(told), "{args:?}: {mistakes:?}");
        }
    }
}
