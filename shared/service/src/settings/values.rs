//! The texts found for a table of keys, and the mistakes found on the way.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::ops::RangeBounds;
use std::path::PathBuf;
use std::str::FromStr;

use super::{ENV_PREFIX, Key, Setting, from_file, redacted, sources};

/// Variables that are not settings although they start like one: the file's path, and what the
/// development stack tells the tests that it runs.
const NOT_SETTINGS: &[&str] = &["SWITCHBOARD_CONFIG", "SWITCHBOARD_STACK"];

/// One thing that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake(String);

impl Mistake {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything that is wrong with the settings, one line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} mistake(s) in the settings:", self.0.len())?;
        for mistake in &self.0 {
            writeln!(f, "  - {mistake}")?;
        }
        Ok(())
    }
}

struct Found {
    key: Key,
    given: Given,
    source: String,
}

/// What a source says of one setting.
pub(super) enum Given {
    Nothing,
    Text(String),
    /// The path of the file that holds the text.
    InFile(String),
    /// Something that can't be used, and that has been named.
    Wrongly,
}

impl Found {
    fn text(&self) -> Option<&str> {
        match &self.given {
            Given::Text(text) => Some(text),
            Given::Nothing | Given::InFile(_) | Given::Wrongly => None,
        }
    }
}

/// The texts of a table of keys, and what is wrong with them so far.
pub struct Values {
    found: BTreeMap<&'static str, Found>,
    pub(super) mistakes: Vec<Mistake>,
}

impl Values {
    /// Looks for every key of `tables` in the file named by `--config` (or `SWITCHBOARD_CONFIG`),
    /// then in this process's environment, then in `args` (without the program and subcommand).
    ///
    /// `elsewhere` names sections (`was.`) of other programs: theirs to check, so that programs
    /// can share one file and one environment.
    pub fn load(
        tables: &[&[Key]],
        elsewhere: &[&str],
        args: impl IntoIterator<Item = OsString>,
    ) -> Self {
        Self::load_from(tables, elsewhere, args, std::env::vars_os())
    }

    /// As [`Values::load`], with an environment given: the process's own is global, so tests
    /// bring theirs.
    pub fn load_from(
        tables: &[&[Key]],
        elsewhere: &[&str],
        args: impl IntoIterator<Item = OsString>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        let mut values = Self {
            found: BTreeMap::new(),
            mistakes: Vec::new(),
        };
        for key in tables.iter().copied().flatten() {
            values.found.insert(
                key.name,
                Found {
                    key: *key,
                    given: match key.default {
                        Some(text) => Given::Text(text.to_owned()),
                        None => Given::Nothing,
                    },
                    source: "default".to_owned(),
                },
            );
        }
        let environment: Vec<(String, String)> = environment
            .into_iter()
            .filter_map(|(name, text)| values.settings_variable(name, text))
            .collect();
        let flags = sources::flags(args);
        let file = flags.file.or_else(|| {
            environment
                .iter()
                .find(|(name, _)| name == "SWITCHBOARD_CONFIG")
                .map(|(_, path)| PathBuf::from(path))
        });
        if let Some(path) = file {
            match sources::file(&path) {
                Ok(given) => values.take_file(&path.display().to_string(), elsewhere, given),
                Err(mistakes) => values.mistakes.extend(mistakes),
            }
        }
        values.take_environment(elsewhere, environment);
        values.mistakes.extend(flags.mistakes);
        values.take_flags(flags.given);
        values.read_files();
        values
    }

    /// All settings of the table.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> + Clone {
        self.found.values().map(|found| &found.key)
    }

    /// Those whose text is still to be read: name, path, and who said so.
    pub(super) fn files(&self) -> Vec<(&'static str, String, String)> {
        let found = self.found.values();
        let files = found.filter_map(|found| match &found.given {
            Given::InFile(path) => Some((found.key.name, path.clone(), found.source.clone())),
            Given::Nothing | Given::Text(_) | Given::Wrongly => None,
        });
        files.collect()
    }

    /// Replaces what lower sources said of a setting of the table.
    pub(super) fn give(&mut self, name: &str, given: Given, source: &str) {
        if let Some(found) = self.found.get_mut(name) {
            found.given = given;
            source.clone_into(&mut found.source);
        }
    }

    fn settings_variable(&mut self, name: OsString, text: OsString) -> Option<(String, String)> {
        let name = name.into_string().ok()?;
        if !name.starts_with(ENV_PREFIX) {
            return None;
        }
        match text.into_string() {
            Ok(text) => Some((name, text)),
            Err(_) => {
                self.mistakes
                    .push(Mistake::new(format!("variable {name} is not UTF-8")));
                None
            }
        }
    }

    fn take_file(&mut self, path: &str, elsewhere: &[&str], given: Vec<(String, String)>) {
        let given = self.note_files(from_file::IN_THE_FILE, path, given);
        for (name, text) in given {
            if self.found.contains_key(name.as_str()) {
                self.give(&name, Given::Text(text), path);
            } else if !elsewhere.iter().any(|section| name.starts_with(section)) {
                self.mistakes.push(Mistake::new(format!(
                    "unknown setting {name} in {path}{}",
                    self.nearest(&name)
                )));
            }
        }
    }

    fn take_environment(&mut self, elsewhere: &[&str], given: Vec<(String, String)>) {
        let given = self.note_files(from_file::IN_THE_ENVIRONMENT, "the environment", given);
        for (variable, text) in given {
            let name = self.keys().find(|key| key.variable() == variable);
            if let Some(name) = name.map(|key| key.name) {
                self.give(name, Given::Text(text), &variable);
            } else if !NOT_SETTINGS.contains(&variable.as_str())
                && !elsewhere.iter().any(|section| {
                    let section = section.replace('.', "_").to_ascii_uppercase();
                    variable[ENV_PREFIX.len()..].starts_with(&section)
                })
            {
                self.mistakes.push(Mistake::new(format!(
                    "unknown setting {variable} in the environment{}",
                    self.nearest(&variable[ENV_PREFIX.len()..])
                )));
            }
        }
    }

    fn take_flags(&mut self, given: Vec<(String, String)>) {
        let given = self.note_files(from_file::AS_A_FLAG, "the flags", given);
        for (flag, text) in given {
            let name = self.keys().find(|key| key.flag() == flag);
            if let Some(name) = name.map(|key| key.name) {
                self.give(name, Given::Text(text), &flag);
            } else {
                self.mistakes.push(Mistake::new(format!(
                    "unknown flag {flag}{}",
                    self.nearest(&flag)
                )));
            }
        }
    }

    /// A hint when a known name differs from `name` by little more than its punctuation.
    fn nearest(&self, name: &str) -> String {
        let plain = |name: &str| -> Vec<u8> {
            name.bytes()
                .filter(u8::is_ascii_alphanumeric)
                .map(|b| b.to_ascii_lowercase())
                .collect()
        };
        let wanted = plain(name);
        self.found
            .keys()
            .map(|known| (distance(&plain(known), &wanted), known))
            .min()
            .filter(|(distance, _)| *distance <= 2)
            .map(|(_, known)| format!(" (is {known} meant?)"))
            .unwrap_or_default()
    }

    /// The value of a setting that must be there. After a mistake a placeholder is returned, and
    /// [`Values::finish`] fails.
    pub fn get<T: Setting>(&mut self, name: &str) -> T {
        match self.optional(name) {
            Some(value) => value,
            None => {
                if let Some(found) = self.found.get(name) {
                    let key = found.key;
                    self.mistakes.push(Mistake::new(format!(
                        "{name} is missing: set it in the file, as {} or as {}",
                        key.variable(),
                        key.flag()
                    )));
                }
                T::placeholder()
            }
        }
    }

    /// The value of a setting that may be absent; an empty text is absence.
    pub fn optional<T: Setting>(&mut self, name: &str) -> Option<T> {
        let Some(found) = self.found.get(name) else {
            // Asking for what is not in the table is the program's mistake; it is told like the
            // others, so that the first `check-config` finds it.
            self.mistakes.push(Mistake::new(format!(
                "{name} is read but is in no table of keys"
            )));
            return Some(T::placeholder());
        };
        if matches!(found.given, Given::Wrongly) {
            return Some(T::placeholder());
        }
        let text = found.text().filter(|text| !text.is_empty())?;
        match T::parse(text) {
            Ok(value) => Some(value),
            Err(message) => {
                let told = told(found);
                self.mistakes
                    .push(Mistake::new(format!("{told}: {message}")));
                Some(T::placeholder())
            }
        }
    }

    /// As [`Values::get`], of a type of another crate: its `FromStr` says what is expected, and must not
    /// repeat the text. After a mistake its default stands in.
    pub fn parsed<T>(&mut self, name: &str) -> T
    where
        T: FromStr<Err: fmt::Display> + Default,
    {
        let text: String = self.get(name);
        match text.parse() {
            Ok(value) => value,
            Err(message) => {
                self.check(name, Err(message));
                T::default()
            }
        }
    }

    /// The value of a setting that may be the empty text.
    pub fn text(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_default()
    }

    /// As [`Values::get`], and it must lie in `range`.
    pub fn within<T>(&mut self, name: &str, range: impl RangeBounds<T> + fmt::Debug) -> T
    where
        T: Setting + PartialOrd,
    {
        let before = self.mistakes.len();
        let value = self.get(name);
        if self.mistakes.len() == before && !range.contains(&value) {
            self.mistake(name, &format!("must be in {range:?}"));
        }
        value
    }

    /// Records that a setting's value does not fit, for rules that a type alone can't tell.
    pub fn mistake(&mut self, name: &str, message: &str) {
        let found = self.found.get(name);
        // What stands in for it is nobody's mistake.
        if found.is_some_and(|found| matches!(found.given, Given::Wrongly)) {
            return;
        }
        let told = found.map_or(name.to_owned(), told);
        self.mistakes
            .push(Mistake::new(format!("{told}: {message}")));
    }

    /// Records what is wrong with a setting, if anything is. One that is missing has been named already,
    /// or may be.
    pub fn check(&mut self, name: &str, checked: Result<(), impl fmt::Display>) {
        let text = self.found.get(name).and_then(Found::text);
        if let (Some(1..), Err(wrong)) = (text.map(str::len), checked) {
            self.mistake(name, &wrong.to_string());
        }
    }

    /// All mistakes, if there is one.
    pub fn finish(&mut self) -> Result<(), Mistakes> {
        if self.mistakes.is_empty() {
            Ok(())
        } else {
            Err(Mistakes(std::mem::take(&mut self.mistakes)))
        }
    }

    /// Every setting, one a line, with where it came from; nothing secret is in it.
    pub fn shown(&self) -> String {
        let mut shown = String::new();
        for found in self.found.values() {
            let text = match found.text() {
                None => continue,
                Some(_) if found.key.secret => "***".to_owned(),
                Some(text) => redacted(text),
            };
            shown.push_str(&format!(
                "{} = {text:?}  # {}\n",
                found.key.name, found.source
            ));
        }
        shown
    }
}

/// A setting as a mistake names it: `was.listen = "x" (SWITCHBOARD_WAS_LISTEN)`.
fn told(found: &Found) -> String {
    let name = found.key.name;
    match found.text() {
        None => name.to_owned(),
        Some(_) if found.key.secret => format!("{name} ({})", found.source),
        Some(text) => format!("{name} = {:?} ({})", redacted(text), found.source),
    }
}

/// Levenshtein's distance.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
