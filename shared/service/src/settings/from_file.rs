//! Texts that lie in files of their own, as orchestrators hand secrets to a process:
//! `SWITCHBOARD_POSTGRES_URL_FILE=/run/secrets/url` instead of `SWITCHBOARD_POSTGRES_URL=…`.
//!
//! Any setting may. Within one source a setting is given once, as a text or as a file; a higher source
//! replaces both, and what was replaced is not read.

use std::fs;

use super::Key;
use super::values::{Given, Mistake, Values};

/// How one source names settings, and those whose text is in a file.
#[derive(Clone, Copy)]
pub(super) struct Naming {
    name: fn(&Key) -> String,
    ending: &'static str,
}

pub(super) const IN_THE_FILE: Naming = Naming {
    name: |key| key.name.to_owned(),
    ending: "_file",
};
pub(super) const IN_THE_ENVIRONMENT: Naming = Naming {
    name: Key::variable,
    ending: "_FILE",
};
pub(super) const AS_A_FLAG: Naming = Naming {
    name: Key::flag,
    ending: "-file",
};

impl Values {
    /// Notes the settings whose text is in a file out of what a source gives; returns the others.
    pub(super) fn note_files(
        &mut self,
        naming: Naming,
        source: &str,
        given: Vec<(String, String)>,
    ) -> Vec<(String, String)> {
        let (files, mut others): (Vec<_>, Vec<_>) = given
            .into_iter()
            .partition(|(name, _)| self.key_of_file(naming, name).is_some());
        for (name, path) in files {
            let Some(key) = self.key_of_file(naming, &name) else {
                continue;
            };
            // An empty text is absence, as everywhere.
            if path.is_empty() {
                continue;
            }
            let plain = (naming.name)(&key);
            let has_text = |(other, text): &(String, String)| *other == plain && !text.is_empty();
            let both = others.iter().any(has_text);
            others.retain(|(other, _)| *other != plain);
            let given = if both {
                self.mistakes.push(Mistake::new(format!(
                    "{plain} and {name} are both in {source}: give one of them"
                )));
                Given::Wrongly
            } else {
                Given::InFile(path)
            };
            self.give(key.name, given, &name);
        }
        others
    }

    /// The setting that `name` gives as a file. What is a setting itself (`kafka.ca_file`) gives no other.
    fn key_of_file(&self, naming: Naming, name: &str) -> Option<Key> {
        let plain = name.strip_suffix(naming.ending)?;
        let mut keys = self.keys();
        if keys.clone().any(|key| (naming.name)(key) == name) {
            return None;
        }
        keys.find(|key| (naming.name)(key) == plain).copied()
    }

    /// Reads the files that were noted and not replaced.
    pub(super) fn read_files(&mut self) {
        for (name, path, source) in self.files() {
            let told = |wrong: &str| Mistake::new(format!("{source} = {path:?}: {wrong}"));
            let given = match fs::read_to_string(&path) {
                // Editors and `echo` end a line that is no part of the secret.
                Ok(text) => match text.trim_end_matches(['\n', '\r']) {
                    "" => Err(told("the file is empty")),
                    text => Ok(Given::Text(text.to_owned())),
                },
                Err(error) => Err(told(&format!("can't be read: {error}"))),
            };
            let given = given.unwrap_or_else(|mistake| {
                self.mistakes.push(mistake);
                Given::Wrongly
            });
            self.give(name, given, &format!("{source}={path}"));
        }
    }
}
