//! What an operator reads of the settings, against what the programs say of themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

/// Flag → default, of all settings that a program takes; none for what has no default, or an empty one.
fn taken(program: &str) -> BTreeMap<String, Option<String>> {
    let beside = Path::new(env!("CARGO_BIN_EXE_loadtest")).with_file_name(program);
    let output = Command::new(beside).arg("help").output().unwrap();
    assert!(output.status.success(), "{program} help: {}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("  --"));
    let settings: BTreeMap<_, _> = lines
        .map(|line| {
            let flag = line.split_whitespace().next().unwrap().to_owned();
            let default = line.rsplit_once("[default: \"");
            let default = default.and_then(|(_, rest)| rest.strip_suffix("\"]"));
            let default = default.filter(|text| !text.is_empty());
            (flag, default.map(str::to_owned))
        })
        .collect();
    assert!(settings.len() > 40, "{program}: {settings:?}");
    settings
}

/// Flag → what stands as its default in the tables of docs/operations.md.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
    let text = std::fs::read_to_string(path).unwrap();
    let tables = text.split("\n### ").filter(|part| {
        let heading = "| setting | default | |";
        part.lines().any(|line| line == heading)
    });
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in tables.flat_map(str::lines) {
        let mut cells = row.split(" | ");
        let name = cells.next().and_then(|cell| cell.strip_prefix("| `"));
        if let (Some(name), Some(default)) = (name, cells.next()) {
            let flag = name.trim_end_matches('`').replace(['.', '_'], "-");
            let defaults = found.entry(format!("--{flag}")).or_default();
            defaults.insert(default.to_owned());
        }
    }
    found
}

/// Each setting stands there with its default, and none that no program takes.
#[test]
fn every_setting_is_documented() {
    let documented = documented();
    let mut all = BTreeSet::new();
    for program in ["was", "classifier"] {
        for (flag, default) in taken(program) {
            let told = documented.get(&flag);
            let told = told.unwrap_or_else(|| panic!("{flag} of {program} is not documented"));
            if let Some(default) = default {
                let is_told = told.contains(&format!("`{default}`"));
                assert!(is_told, "{flag} of {program} is {default}, not {told:?}");
            }
            all.insert(flag);
        }
    }
    let gone: Vec<_> = documented
        .keys()
        .filter(|flag| !all.contains(*flag))
        .collect();
    assert!(gone.is_empty(), "no program takes {gone:?}");
}
