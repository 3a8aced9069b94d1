//! The documents name files and tests: they must be there.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn house() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What stands between backticks, in order.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// `folder/file.rs`: `a_test`, `another`: each is a function of that file.
#[test]
fn every_test_that_proves_an_invariant_exists() {
    let text = fs::read_to_string(house().join("docs/invariants.md")).unwrap();
    let (_, tables) = text.split_once("## Invariants").unwrap();
    let mut file = String::new();
    let mut found = 0;
    for word in quoted(tables) {
        if word.ends_with(".rs") {
            file = fs::read_to_string(house().join(word)).unwrap_or_else(|_| panic!("no {word}"));
        } else if word.contains('_') && word.chars().all(|c| c == '_' || c.is_alphanumeric()) {
            assert!(file.contains(&format!("fn {word}(")), "no test {word}");
            found += 1;
        }
    }
    assert!(found > 50, "only {found} tests are named");
}

/// The walk through the code leads to files that exist.
#[test]
fn every_file_of_the_architecture_exists() {
    let text = fs::read_to_string(house().join("docs/architecture.md")).unwrap();
    let files: Vec<&str> = quoted(&text)
        .filter(|word| word.contains("/src/") && !word.contains('*'))
        .collect();
    assert!(files.len() > 30, "only {files:?}");
    for file in files {
        assert!(house().join(file).exists(), "no {file}");
    }
}
