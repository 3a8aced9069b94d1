//! Where texts come from, each source flattened to (name as written, text).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format as _, Toml};
use figment::value::{Dict, Value};

use super::values::Mistake;

/// Arguments after the subcommand, taken apart.
#[derive(Debug, Default)]
pub(super) struct Flags {
    /// `--config`
    pub(super) file: Option<PathBuf>,
    /// `--name value` or `--name=value`, with the name's dashes.
    pub(super) given: Vec<(String, String)>,
    pub(super) mistakes: Vec<Mistake>,
}

pub(super) fn flags(args: impl IntoIterator<Item = OsString>) -> Flags {
    let mut found = Flags::default();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let Ok(arg) = arg.into_string() else {
            found
                .mistakes
                .push(Mistake::new("an argument is not UTF-8"));
            continue;
        };
        let Some(body) = arg.strip_prefix("--") else {
            found
                .mistakes
                .push(Mistake::new(format!("argument {arg:?} is not a flag")));
            continue;
        };
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (body, args.next().and_then(|value| value.into_string().ok())),
        };
        let flag = format!("--{}", name.replace('_', "-"));
        match value {
            Some(value) if name == "config" => found.file = Some(PathBuf::from(value)),
            Some(value) => found.given.push((flag, value)),
            None => found
                .mistakes
                .push(Mistake::new(format!("flag {flag} has no value"))),
        }
    }
    found
}

/// Every scalar of a TOML file under its dotted name; a list of scalars becomes one text with
/// commas.
pub(super) fn file(path: &Path) -> Result<Vec<(String, String)>, Vec<Mistake>> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        vec![Mistake::new(format!(
            "settings file {} can't be read: {error}",
            path.display()
        ))]
    })?;
    let tree: Dict = Figment::from(Toml::string(&text))
        .extract()
        .map_err(|errors| {
            errors
                .into_iter()
                .map(|error| {
                    Mistake::new(format!("settings file {}: {}", path.display(), error.kind))
                })
                .collect::<Vec<_>>()
        })?;
    let mut found = Vec::new();
    let mut mistakes = Vec::new();
    flatten("", &tree, &mut found, &mut mistakes);
    if mistakes.is_empty() {
        Ok(found)
    } else {
        Err(mistakes)
    }
}

fn flatten(
    prefix: &str,
    tree: &Dict,
    found: &mut Vec<(String, String)>,
    mistakes: &mut Vec<Mistake>,
) {
    for (key, value) in tree {
        let name = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            Value::Dict(_, inner) => flatten(&name, inner, found, mistakes),
            Value::Array(_, items) => {
                let texts: Option<Vec<String>> = items.iter().map(scalar).collect();
                match texts {
                    Some(texts) => found.push((name, texts.join(","))),
                    None => mistakes.push(Mistake::new(format!(
                        "{name} in the settings file is a list of more than plain values"
                    ))),
                }
            }
            other => {
                if let Some(text) = scalar(other) {
                    found.push((name, text));
                }
            }
        }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Char(_, c) => Some(c.to_string()),
        Value::Bool(_, truth) => Some(truth.to_string()),
        Value::Num(_, number) => number
            .to_i128()
            .map(|n| n.to_string())
            .or_else(|| number.to_u128().map(|n| n.to_string()))
            .or_else(|| number.to_f64().map(|n| n.to_string())),
        Value::Empty(..) | Value::Dict(..) | Value::Array(..) => None,
    }
}
